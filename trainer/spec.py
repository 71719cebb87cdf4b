"""ROUND.toml: what one round trains on, how it learns, and which evaluations are repeated with its adapter."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from tracemill.errors import UsageError
from tracemill.settings import Section
from trainer.select.spec import CurriculumSpec, SelectSpec


class FitSpec(Section):
    """How the student learns."""

    #: The objective, by name (`trainer.objectives`).
    objective: str = "sft"
    #: Times that every example is seen.
    epochs: int = Field(default=3, ge=1)
    #: Peak learning rate of AdamW; it rises over the first twentieth of the steps and then falls to 0 linearly.
    learning_rate: float = Field(default=1e-3, gt=0)
    #: Examples in one optimiser step.
    batch_size: int = Field(default=16, ge=1)
    #: Rank of the LoRA matrices, at most the student's `max_lora_rank`.
    lora_rank: int = Field(default=16, ge=1, le=64)
    #: LoRA's scale: the update is multiplied by alpha ÷ rank.
    lora_alpha: int = Field(default=32, ge=1)
    #: Longest prompt + answer, in tokens. Longer examples are left out and counted, never cut.
    max_tokens: int = Field(default=256, ge=16)
    #: How the frozen base model is held: nf4 (QLoRA: 4 bits, double quantisation) or none (bfloat16).
    quantisation: Literal["nf4", "none"] = "nf4"
    #: Seed of the adapter's first values and of the order within an epoch.
    seed: int = 0


class EvaluateSpec(Section):
    """What is measured before and after."""

    #: Names of `evaluate` jobs of the student without an adapter. Each is repeated with the adapter, and the student is
    #: trained on the prompt that they ask with, so all of them must ask with the same one.
    jobs: list[str] = Field(min_length=1)


class RoundSpec(Section):
    """One round."""

    #: The round's name, and its folder's.
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    #: Model alias of the model to train.
    student: str = "student"
    select: SelectSpec
    #: Absent: one stage of fit.epochs.
    curriculum: CurriculumSpec | None = None
    fit: FitSpec = FitSpec()
    evaluate: EvaluateSpec


def load(path: Path) -> RoundSpec:
    """Read a ROUND.toml. Raises UsageError naming the key and what is wrong with it."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # not there, not UTF-8, not TOML
        raise UsageError(f"cannot read the round file {path}: {error}") from None
    return parse(content, str(path))


def parse(content: dict[str, Any], where: str) -> RoundSpec:
    """Check a round's content; `where` names it in the UsageError that a wrong key raises."""
    try:
        return RoundSpec.model_validate(content)
    except ValidationError as error:
        problems = (f"{_key(problem['loc'])}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"{where}: " + "; ".join(problems)) from None


def _key(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)
