"""Objectives: one small file for each way to learn, imported here so that it registers itself."""

from trainer.objectives import features, logits, preference, sft, stepwise  # noqa: F401
from trainer.objectives.base import Example, Lesson, Objective, Outcome, Progress, TeacherOptions, find

__all__ = ["Example", "Lesson", "Objective", "Outcome", "Progress", "TeacherOptions", "find"]
