"""Unit tests need no service; integration tests start real Postgres, Redis, Celery and engines."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
