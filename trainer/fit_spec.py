"""`[fit]` of a ROUND.toml: how the student learns."""

from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from tracemill.sections import Section


class FitSpec(Section):
    """How the student learns."""

    #: The objective, by name (`trainer.objectives`).
    objective: str = "sft"
    #: Times that every example is seen.
    epochs: int = Field(default=3, ge=1)
    #: Peak learning rate of AdamW; it rises over the first twentieth of the steps and then falls to 0 linearly.
    learning_rate: float = Field(default=1e-3, gt=0)
    #: Examples (or pairs of them) in one optimiser step.
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

    #: Seconds between two checkpoints, from which a fit that was killed goes on; 0: none.
    checkpoint_seconds: float = Field(default=120, ge=0)
    #: Keep the adapter of every epoch, as `epoch-1`, `epoch-2`, … in the round's folder.
    keep_epochs: bool = False
    #: Processes that share every batch, one a GPU (on CPU: through gloo).
    processes: int = Field(default=1, ge=1)
    #: Also save the student with the adapter merged into its weights (bfloat16), as `merged` in the round's folder.
    merge: bool = False

    #: stepwise: the answer's share of the loss; its steps share the rest equally.
    answer_weight: float = Field(default=0.5, gt=0, lt=1)

    #: preference: hinge (imitate the chosen trace, and keep its margin over the rejected one) or dpo.
    preference: Literal["hinge", "dpo"] = "hinge"
    #: preference, hinge: weight of the hinge beside the imitation's loss.
    hinge_weight: float = Field(default=0.1, gt=0)
    #: preference: how far the student may leave its base model; the margin of `hinge` is 1 ÷ beta.
    beta: float = Field(default=0.1, gt=0)

    #: logits: what log-probabilities are divided by, the teacher's and the student's.
    temperature: float = Field(default=1.0, gt=0)
    #: logits: weight of the divergence from the teacher; imitation has the rest.
    kl_weight: float = Field(default=0.5, gt=0, le=1)

    #: features: model alias of the teacher, which is loaded beside the student.
    teacher: str = "teacher"
    #: features: (student layer, teacher layer) pairs, 1 is the first layer; empty: the ends of the student's quarters.
    layers: tuple[tuple[PositiveInt, PositiveInt], ...] = ()
    #: features: mse (squared distance in units of the teacher's own mean square) or cosine (1 − cosine).
    distance: Literal["mse", "cosine"] = "mse"
    #: features: weight of the distance beside the imitation's loss.
    feature_weight: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _shared(self) -> "FitSpec":
        if self.batch_size % self.processes:
            raise ValueError(f"batch_size = {self.batch_size} cannot be shared by {self.processes} processes equally")
        return self
