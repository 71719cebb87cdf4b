"""The teacher's distribution: divergence from its stored log-probabilities, and imitation of its tokens.

Hinton et al. 2015, arXiv:1503.02531. For each position k tokens are stored (`tracemill.logprobs`). The rest of the
probability is one more outcome, "any other token", for the teacher and for the student. So the student also learns how
much probability all other tokens have; normalising the k alone would lose that. With P and Q over these k + 1 outcomes,
both raised to 1 ÷ temperature and normalised, the loss of a token is

    (1 − w) × cross-entropy + w × temperature² × KL(P ‖ Q)
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tracemill import thinking
from tracemill.errors import TracemillError
from tracemill.logprobs import TopK, decode, encode
from tracemill.sections import Section
from trainer.objectives.base import Example, Lesson, Outcome, objective
from trainer.rows import Reader, Row, load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

#: The least probability of "any other token": stored probabilities are rounded, and their sum may exceed 1 a little.
MIN_REST = 1e-6


class LogitsOptions(Section):
    """`[fit.logits]`."""

    #: Divisor of the log-probabilities, the teacher's and the student's.
    temperature: float = Field(default=1.0, gt=0)
    #: Weight of the divergence from the teacher; imitation has the rest.
    kl_weight: float = Field(default=0.5, gt=0, le=1)


@objective("logits", LogitsOptions, logprobs=True)
def fit(lesson: Lesson[LogitsOptions]) -> Outcome:
    """Fit an adapter on traces with log-probabilities.

    Raises UsageError when a teacher has other tokens than the student, TracemillError when a trace has no
    log-probabilities.
    """
    import torch

    from trainer.completion import Pass
    from trainer.imitation import imitate
    from trainer.training import require_same_tokens

    require_same_tokens(load_tokenizer(lesson.model), lesson.teachers, "logits")
    n_missing = sum(example.logprobs is None for example in lesson.examples)
    if n_missing:
        raise TracemillError(
            f"objective 'logits': {n_missing} of {len(lesson.examples)} traces have no log-probabilities. Enqueue the "
            "teaching job with --logprobs, and select only such jobs."
        )

    def loss(logits: Any, labels: Any, ids: Any, logprobs: Any, is_stored: Any) -> Any:
        kl = divergence(logits, ids, logprobs, lesson.options.temperature)
        # Where nothing is stored there is only imitation: marks and an end of a turn that the teacher did not write.
        weight = lesson.options.kl_weight * is_stored
        imitation = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
        return (1 - weight) * imitation + weight * lesson.options.temperature**2 * kl

    def losses(model: Any, inputs: Any) -> Any:
        forward = Pass(model, inputs)
        stored = (inputs[name] for name in ("teacher_ids", "teacher_logprobs", "teacher_known"))
        return forward.of_logits(loss, forward.labels, *map(forward.of_tokens, stored))

    def columns(reader: Reader, example: Example, row: Row) -> dict[str, Any]:
        return {"logprobs": encode(_of_student(reader, example))}

    return imitate(lesson, read=_row, columns=columns, collate=collate, losses=losses)


def _row(reader: Reader, example: Example) -> Row:
    """The tokens that the teacher sampled: a tokenizer may cut its text into other tokens."""
    ids = list(_of_student(reader, example).chosen)
    ending = reader.ending(reader.turn(example.text, example.is_cut_off))
    return Row(reader.prompt_ids(example.question), ids if ids[-1:] == ending else [*ids, *ending])


def _of_student(reader: Reader, example: Example) -> TopK:
    """The stored tokens after the student's own prompt.

    Teacher and student may differ in whether the prompt or the model writes the marks before the first word. So the
    teacher's marks are replaced by the student's. Nothing is stored for marks that the teacher did not write.
    """
    import numpy as np

    stored = decode(example.logprobs or b"")
    chosen, lengths, entries, values = stored.columns
    ids = chosen.tolist()
    form, has_thoughts = reader.form, thinking.split(example.text).thoughts is not None
    around = form.around_thoughts if has_thoughts else None
    marks = reader.ids(form.before_answer if around is None else around[0])
    first = thinking.tokens_before_words(ids, reader.tokenizer.decode, thoughts=around is not None)
    if marks == ids[:first]:
        return stored
    skipped = int(lengths[:first].sum())
    return TopK.of_columns(
        np.concatenate([np.array(marks, chosen.dtype), chosen[first:]]),
        np.concatenate([np.zeros(len(marks), lengths.dtype), lengths[first:]]),
        entries[skipped:],
        values[skipped:],
    )


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The stored ids and log-probabilities of each position, rows × tokens × k, and whether anything is stored there.

    k is that of the longest entry; token 0 at −∞ pads the others.
    """
    import torch

    tops = [decode(row["logprobs"]) for row in rows]
    length = max(len(row["input_ids"]) for row in rows)
    k = max((int(top.columns[1].max(initial=0)) for top in tops), default=0)
    ids = torch.zeros(len(rows), length, k, dtype=torch.long)
    logprobs = torch.full((len(rows), length, k), -torch.inf)
    is_stored = torch.zeros(len(rows), length)
    for index, (row, top) in enumerate(zip(rows, tops, strict=True)):
        first = next(position for position, label in enumerate(row["labels"]) if label >= 0)
        _, lengths, top_ids, values = map(torch.from_numpy, top.columns)
        is_entry = torch.arange(k) < lengths[:, None]
        positions = slice(first, first + len(lengths))
        ids[index, positions][is_entry] = top_ids
        logprobs[index, positions][is_entry] = values.float()
        is_stored[index, positions] = (lengths > 0).float()
    return {"teacher_ids": ids, "teacher_logprobs": logprobs, "teacher_known": is_stored}


def divergence(
    logits: "Tensor", ids: "Tensor", logprobs: "Tensor", temperature: float = 1.0, is_reverse: bool = False
) -> "Tensor":
    """KL(teacher ‖ student) at N positions, over the tokens in `ids` (N × k) and all other tokens as one outcome.

    `is_reverse`: KL(student ‖ teacher).

    `logits`: the student's, N × vocabulary; `logprobs`: the teacher's, N × k, −∞ where nothing is stored.
    """
    import torch

    is_stored = logprobs > -torch.inf
    rest = torch.log1p(-logprobs.exp().sum(-1, keepdim=True).clamp(max=1 - MIN_REST))
    teacher = torch.cat([logprobs, rest], dim=-1)
    total = logits.logsumexp(-1, keepdim=True)
    of_ids = (logits.gather(-1, ids) - total).masked_fill(~is_stored, -torch.inf)
    is_listed = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, ids, True)
    # Token 0 also pads `ids`: there it belongs to the rest.
    is_listed[:, 0] = (is_stored & (ids == 0)).any(-1)
    rest = logits.masked_fill(is_listed, -torch.inf).logsumexp(-1, keepdim=True) - total
    student = torch.cat([of_ids, rest], dim=-1)
    p, q = ((outcomes / temperature).log_softmax(-1) for outcomes in (teacher, student))
    if is_reverse:
        p, q = q, p
    difference = torch.where(teacher > -torch.inf, p - q, 0.0)
    return (p.exp() * difference).sum(-1)
