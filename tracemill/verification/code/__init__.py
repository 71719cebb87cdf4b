"""Programs as answers: run against the tests of their question, in a sandbox."""
