"""Celery workers: ask the models (generate) and judge what they wrote (verify)."""
