"""The settings of `[fit]` that all objectives share."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tracemill.model_settings import LORA_RANKS
from tracemill.sections import Section

#: The highest learning rate for all weights. Above it a pretrained model forgets.
MAX_FULL_RATE = 2e-4


class FitSettings(Section):
    """How the student learns, whatever the objective."""

    #: The objective, by name (`trainer.objectives`).
    objective: str = "sft"
    #: How often the student sees every example.
    epochs: int = Field(default=3, ge=1)
    #: Peak learning rate of AdamW. It rises over the first twentieth of the steps, then falls linearly to 0.
    learning_rate: float = Field(default=1e-3, gt=0)
    #: Examples (or pairs of them) in one optimiser step.
    batch_size: int = Field(default=16, ge=1)
    #: Rank of the LoRA matrices, at most the student's `vllm.max_lora_rank`. vLLM serves no rank above 512.
    lora_rank: int = Field(default=16, ge=1, le=LORA_RANKS[-1])
    #: LoRA's scale: the update is multiplied by alpha ÷ rank.
    lora_alpha: int = Field(default=32, ge=1)
    #: Longest prompt + answer, in tokens. The fit leaves out longer examples and counts them; it never cuts them.
    #: Default: the student's `vllm.max_model_len`.
    max_tokens: int | None = Field(default=None, ge=16)
    #: lora (an adapter on the frozen base) or full (all weights, for small students: 16 bytes a parameter).
    tuning: Literal["lora", "full"] = "lora"
    #: Format of the frozen base model: nf4 (QLoRA: 4 bits, double quantisation) or none (bfloat16).
    quantisation: Literal["nf4", "none"] = "nf4"
    #: Seed of the adapter's initial values and of the order within an epoch.
    seed: int = 0

    #: Seconds between two checkpoints, from which a killed fit resumes. 0 means no checkpoints.
    checkpoint_seconds: float = Field(default=120, ge=0)
    #: Keep the adapter of every epoch, as `epoch-1`, `epoch-2`, … in the round's folder.
    keep_epochs: bool = False
    #: Processes that share every batch, one for each GPU. On CPU they communicate through gloo.
    processes: int = Field(default=1, ge=1)
    #: Whether the processes share the student too, by FSDP: each holds a part of every layer. For students that do not
    #: fit one GPU.
    shard: bool = False
    #: Whether to save also the student with the merged adapter (bfloat16), as `merged` in the round's folder.
    merge: bool = False

    @field_validator("lora_rank", mode="before")
    @classmethod
    def _served(cls, rank: object) -> object:
        if isinstance(rank, int) and rank > LORA_RANKS[-1]:
            raise ValueError(f"vLLM serves no adapter of a rank above {LORA_RANKS[-1]}, so it cannot be evaluated")
        return rank

    @model_validator(mode="after")
    def _full(self) -> "FitSettings":
        if self.tuning == "full":
            if self.quantisation != "none":
                raise ValueError("tuning = 'full' trains all weights, and NF4 is frozen: set quantisation = 'none'")
            if self.merge:
                raise ValueError("tuning = 'full' makes no adapter to merge: remove merge")
            if self.learning_rate > MAX_FULL_RATE:
                raise ValueError(
                    f"learning_rate = {self.learning_rate:g} is for adapters. With tuning = 'full' it is at most "
                    f"{MAX_FULL_RATE:g}; 1e-5 is usual"
                )
        return self

    @model_validator(mode="after")
    def _shared(self) -> "FitSettings":
        if self.batch_size % self.processes:
            raise ValueError(f"batch_size = {self.batch_size} cannot be shared by {self.processes} processes equally")
        if self.shard and self.processes == 1:
            raise ValueError("shard divides the student among processes: set processes to the number of GPUs")
        if self.shard and self.tuning == "full":
            raise ValueError("shard divides a frozen student with an adapter: set tuning = 'lora'")
        return self
