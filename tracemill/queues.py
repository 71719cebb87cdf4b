"""Names of the Celery queues. This module imports no Celery, because most commands need only the names."""

#: The queue of the trainers.
TRAIN_QUEUE = "train"


def generate_queue(alias: str) -> str:
    """The queue that the workers of a model alias listen on."""
    return f"generate.{alias}"


def verify_queue(judge: str | None) -> str:
    """The queue of the verify workers. A judge's questions go to the workers that have its model."""
    return f"verify.{judge}" if judge else "verify"
