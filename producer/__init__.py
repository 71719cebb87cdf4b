"""The source of work: question sources, new jobs, and the feeder that fills the queues in Redis."""
