"""Reinforcement learning from verdicts: samples that pass the job's policy become likelier, the others less likely.

Shao et al. 2024, GRPO, arXiv:2402.03300, without the division by the spread of rewards (Liu et al. 2025, Dr. GRPO,
arXiv:2503.20783) and with the mean over all tokens of a step (Yu et al. 2025, DAPO, arXiv:2503.14476). The reward of a
sample is 1 if its verdict is accepted, else 0. Its advantage A is the reward minus the mean of the question's samples.
With r, the ratio of a token's probability now to that at which it was sampled, the loss of the token is

    −min(r × A, min(max(r, 1 − clip), 1 + clip) × A)
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from tracemill.errors import TracemillError
from tracemill.logprobs import decode
from trainer.objectives.base import Example, Lesson, Outcome, OwnOptions, objective


class GrpoOptions(OwnOptions):
    """`[fit.grpo]`."""

    #: The probability ratio of a token counts between 1 − clip and 1 + clip.
    clip: float = Field(default=0.2, gt=0, lt=1)


@objective("grpo", GrpoOptions, logprobs=True, rewards=True)
def fit(lesson: Lesson[GrpoOptions]) -> Outcome:
    """Fit an adapter on samples with verdicts. Samples of equal reward teach nothing, and are left out.

    Raises TracemillError when no question has both accepted and other samples.
    """
    from trainer.completion import Pass
    from trainer.own_words import learn_samples

    examples = [example for example in lesson.examples if example.advantage]
    if not examples:
        raise TracemillError(
            "objective 'grpo': no question has both accepted and other samples, so no sample is better than another. "
            "Raise attempt.samples, or take questions that the student sometimes answers right"
        )

    def losses(model: Any, inputs: Any) -> Any:
        forward = Pass(model, inputs)
        sampled, advantages = (forward.of_tokens(inputs[name]) for name in ("sampled", "advantages"))
        return policy_loss(-forward.cross_entropy(), sampled, advantages, lesson.options.clip)

    return learn_samples(replace(lesson, examples=examples), columns=_columns, collate=_collate, losses=losses)


def policy_loss(logprobs: Any, sampled: Any, advantages: Any, clip: float) -> Any:
    """N: the loss of each token, from its log-probability now and when it was sampled."""
    import torch

    ratio = (logprobs - sampled).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def _columns(example: Example) -> dict[str, Any]:
    return {"sampled": decode(example.logprobs or b"").chosen_logprobs.tolist(), "advantage": example.advantage}


def _collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sampled log-probability and the advantage of each token, rows × tokens; 0 where nothing is learnt."""
    import torch

    length = max(len(row["input_ids"]) for row in rows)
    sampled, advantages = torch.zeros(len(rows), length), torch.zeros(len(rows), length)
    for index, row in enumerate(rows):
        first = len(row["input_ids"]) - len(row["sampled"])
        sampled[index, first : len(row["input_ids"])] = torch.tensor(row["sampled"])
        advantages[index, first : len(row["input_ids"])] = row["advantage"]
    return {"sampled": sampled, "advantages": advantages}
