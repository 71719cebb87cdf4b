"""Programs as answers: they run in a sandbox against the tests of their question."""
