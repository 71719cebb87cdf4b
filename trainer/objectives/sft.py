"""Imitation: cross-entropy on the tokens of the traces, without those of the prompts."""

from tracemill.sections import Section
from trainer.objectives.base import Lesson, Outcome, objective


@objective("sft", Section)
def fit(lesson: Lesson[Section]) -> Outcome:
    """Fit an adapter on whole traces."""
    from trainer.imitation import imitate

    return imitate(lesson)
