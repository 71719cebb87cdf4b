"""The teacher's distribution: divergence from its stored log-probabilities, beside imitation of what it sampled.

Hinton et al. 2015, arXiv:1503.02531. Of each place k tokens are stored (`tracemill.logprobs`). What is left of the
probability is one more outcome, "any other token", for the teacher and for the student: so the student is also taught
how much to leave to all others, which would be lost if the k were renormalised. With P and Q over these k + 1 outcomes,
both raised to 1 ÷ temperature and normalised, a token's loss is

    (1 − w) × cross-entropy + w × temperature² × KL(P ‖ Q)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tracemill.errors import TracemillError
from tracemill.logprobs import TopK, decode
from tracemill.sections import Section
from trainer.objectives.base import Example, Lesson, Outcome, objective
from trainer.rows import Reader, Row

if TYPE_CHECKING:
    from torch import Tensor

#: Least probability that is left to all other tokens; what is stored is rounded, and may add up to a little over 1.
LEAST = 1e-6


class LogitsOptions(Section):
    """`[fit.logits]`."""

    #: Divisor of the log-probabilities, the teacher's and the student's.
    temperature: float = Field(default=1.0, gt=0)
    #: Weight of the divergence from the teacher; imitation has the rest.
    kl_weight: float = Field(default=0.5, gt=0, le=1)


@objective("logits", LogitsOptions, logprobs=True)
def fit(lesson: Lesson[LogitsOptions]) -> Outcome:
    """Fit an adapter on traces with log-probabilities.

    Raises UsageError when a teacher's tokens are not the student's, TracemillError when a trace has no
    log-probabilities.
    """
    from transformers import AutoTokenizer

    from trainer.completion import Pass
    from trainer.imitation import imitate
    from trainer.training import require_same_tokens

    require_same_tokens(AutoTokenizer.from_pretrained(lesson.model), lesson.teachers, "logits")
    without = sum(example.logprobs is None for example in lesson.examples)
    if without:
        raise TracemillError(
            f"objective 'logits': {without} of {len(lesson.examples)} traces have no log-probabilities. Enqueue the "
            "teaching job with --logprobs, and select only such jobs."
        )

    def losses(model: Any, inputs: Any) -> Any:
        seen = Pass(model, inputs)
        ids, logprobs = seen.of_tokens(inputs["teacher_ids"]), seen.of_tokens(inputs["teacher_logprobs"])
        kl = divergence(seen.logits, ids, logprobs, lesson.options.temperature)
        # The end of a turn that the teacher did not write itself is imitated only.
        known = seen.of_tokens(inputs["teacher_known"])
        weight = lesson.options.kl_weight * known
        return (1 - weight) * seen.cross_entropy() + weight * lesson.options.temperature**2 * kl

    def columns(reader: Reader, example: Example, row: Row) -> dict[str, Any]:
        return {"logprobs": example.logprobs}

    return imitate(lesson, read=_row, columns=columns, collate=collate, losses=losses)


def _row(reader: Reader, example: Example) -> Row:
    """The teacher's own tokens, as they were sampled: its text might be cut into others."""
    chosen = list(_stored(example).chosen)
    return Row(reader.asked(example.question), chosen if chosen[-1:] == [reader.end] else [*chosen, reader.end])


def _stored(example: Example) -> TopK:
    return decode(example.logprobs or b"")


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is stored of each token, rows × tokens × k: its ids and log-probabilities; and whether anything is stored.

    k is the longest entry's; the others are filled up with token 0 at −∞.
    """
    import torch

    tops = [decode(row["logprobs"]) for row in rows]
    most = max(len(row["input_ids"]) for row in rows)
    k = max((len(ids) for top in tops for ids in top.ids), default=0)
    ids = torch.zeros(len(rows), most, k, dtype=torch.long)
    logprobs = torch.full((len(rows), most, k), -torch.inf)
    known = torch.zeros(len(rows), most)
    for at, (row, top) in enumerate(zip(rows, tops, strict=True)):
        first = next(place for place, label in enumerate(row["labels"]) if label >= 0)
        for place, (some, values) in enumerate(zip(top.ids, top.logprobs, strict=True), first):
            ids[at, place, : len(some)] = torch.tensor(some)
            logprobs[at, place, : len(some)] = torch.tensor(values)
            known[at, place] = 1.0
    return {"teacher_ids": ids, "teacher_logprobs": logprobs, "teacher_known": known}


def divergence(logits: "Tensor", ids: "Tensor", logprobs: "Tensor", temperature: float) -> "Tensor":
    """KL(teacher ‖ student) of N places, over the tokens in `ids` (N × k) and all others together, at `temperature`.

    `logits`: N × vocabulary; `logprobs`: the teacher's, N × k, −∞ where there is none.
    """
    import torch

    there = logprobs > -torch.inf
    others = torch.log1p(-logprobs.exp().sum(-1, keepdim=True).clamp(max=1 - LEAST))
    teacher = torch.cat([logprobs, others], dim=-1)
    # Where nothing is stored, token 0 must stay among the others.
    everything = logits.logsumexp(-1, keepdim=True)
    of_ids = (logits.gather(-1, ids) - everything).masked_fill(~there, -torch.inf)
    taken = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, ids, True)
    taken[:, 0] = (there & (ids == 0)).any(-1)
    rest = logits.masked_fill(taken, -torch.inf).logsumexp(-1, keepdim=True) - everything
    student = torch.cat([of_ids, rest], dim=-1)
    wanted = (teacher / temperature).log_softmax(-1)
    found = (student / temperature).log_softmax(-1)
    apart = torch.where(teacher > -torch.inf, wanted - found, 0.0)
    return (wanted.exp() * apart).sum(-1)
