"""Unit tests run in seconds; integration tests start real Postgres, Redis, Celery and engines."""
