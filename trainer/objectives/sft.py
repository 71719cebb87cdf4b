"""Imitation: cross-entropy on the traces' tokens, the prompt's excluded."""

from trainer.objectives.base import Lesson, Outcome, objective


@objective("sft")
def fit(lesson: Lesson) -> Outcome:
    """Fit an adapter on whole traces."""
    from trainer.imitation import imitate

    return imitate(lesson)
