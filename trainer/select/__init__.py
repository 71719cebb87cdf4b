"""Which traces a round trains on, in which order, and what was left out and why."""
