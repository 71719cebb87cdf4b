"""Preference: the student prefers a right trace to a wrong trace of the same question.

A trace's reward is its log-probability minus the one that the base model gives it. `hinge` imitates the chosen trace,
and keeps its reward 1 ÷ beta above that of the rejected trace (SLiC-HF, Zhao et al. 2023, arXiv:2305.10425, relative to
the base model). `dpo` is Direct Preference Optimization (Rafailov et al. 2023, arXiv:2305.18290). Both use trl's
trainer. The base model is the student without its adapter, in the same process, never switched to evaluation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from tracemill.errors import TracemillError
from tracemill.sections import Section
from trainer.objectives.base import Example, Lesson, Outcome, objective
from trainer.rows import Row, short


class PreferenceOptions(Section):
    """`[fit.preference]`."""

    #: hinge (imitate the chosen trace, and keep a margin over the rejected trace) or dpo.
    loss: Literal["hinge", "dpo"] = "hinge"
    #: hinge: weight of the hinge; the imitation has weight 1.
    hinge_weight: float = Field(default=0.1, gt=0)
    #: A larger beta keeps the student nearer to its base model; the margin of `hinge` is 1 ÷ beta.
    beta: float = Field(default=0.1, gt=0)


@dataclass(frozen=True)
class Pair:
    """Two answers to one question; the length of a pair is that of the longer answer."""

    chosen: Row
    rejected: Row
    stage: int

    @property
    def tokens(self) -> int:
        return max(self.chosen.tokens, self.rejected.tokens)


@objective("preference", PreferenceOptions, pairs=True)
def fit(lesson: Lesson[PreferenceOptions]) -> Outcome:
    """Fit an adapter on pairs. Raises TracemillError when half a pair is missing, or all pairs are too long."""
    from trl import DPOConfig

    from trainer.pairs import PairTrainer
    from trainer.rows import Reader, load_tokenizer
    from trainer.student import device
    from trainer.training import TOKENS_A_CUDA_PASS, TOKENS_A_PASS, Material, train

    reader = Reader(load_tokenizer(lesson.model), lesson.prompt, lesson.chat_template_kwargs)

    def row(example: Example) -> Row:
        return reader.row(example.question, example.text, example.is_cut_off)

    all_pairs = [Pair(row(good), row(bad), good.stage) for good, bad in pairs(lesson.examples)]
    _, kept = short(all_pairs, lesson.fit.max_tokens)
    material = Material(
        columns={
            "prompt_ids": [pair.chosen.prompt for pair in kept],
            "chosen_ids": [pair.chosen.completion for pair in kept],
            "rejected_ids": [pair.rejected.completion for pair in kept],
        },
        lengths=[pair.tokens for pair in kept],
        tokens=[pair.chosen.tokens + pair.rejected.tokens for pair in kept],
        stages=[pair.stage for pair in kept],
        too_long=len(all_pairs) - len(kept),
    )
    options = lesson.options
    hinge = {"loss_type": ["sft", "hinge"], "loss_weights": [1.0, options.hinge_weight]}
    loss = hinge if options.loss == "hinge" else {"loss_type": ["sigmoid"]}
    arguments = {"beta": options.beta, **loss}
    # Each pair is two rows, and trl computes them twice: with the adapter and without.
    tokens = (TOKENS_A_PASS if device() == "cpu" else TOKENS_A_CUDA_PASS) // 2
    return train(lesson, material, PairTrainer, DPOConfig, arguments=arguments, tokens_a_pass=tokens)


def pairs(examples: Sequence[Example]) -> list[tuple[Example, Example]]:
    """(chosen, rejected) pairs: they share stage and position. Raises TracemillError when half a pair is missing."""
    roles: dict[tuple[int, int], dict[str, Example]] = {}
    for example in examples:
        roles.setdefault((example.stage, example.position), {})[example.role] = example
    for (stage, position), pair in roles.items():
        if set(pair) != {"chosen", "rejected"}:
            raise TracemillError(f"the pair at stage {stage}, position {position} has only: {', '.join(pair)}")
    return [(pair["chosen"], pair["rejected"]) for pair in roles.values()]
