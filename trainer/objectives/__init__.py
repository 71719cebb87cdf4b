"""Objectives: one small file for each way to learn, imported here so that it registers itself."""

from trainer.objectives import (  # noqa: F401
    features,
    gold,
    grpo,
    logits,
    on_policy,
    preference,
    self_distill,
    sft,
    stepwise,
)
from trainer.objectives.base import (
    Example,
    Lesson,
    Objective,
    Outcome,
    OwnOptions,
    Progress,
    Scorer,
    TeacherOptions,
    find,
)

__all__ = [
    "Example",
    "Lesson",
    "Objective",
    "Outcome",
    "OwnOptions",
    "Progress",
    "Scorer",
    "TeacherOptions",
    "find",
]
