"""Where work comes from: question sources, opening jobs, and the feeder that keeps Redis supplied."""
