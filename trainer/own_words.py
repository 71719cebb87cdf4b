"""The fit of objectives that learn from the student's own samples: their exact tokens, as the engine sampled them."""

from collections.abc import Callable, Sequence
from typing import Any

from tracemill.errors import TracemillError
from tracemill.logprobs import decode
from trainer.completion import Pass
from trainer.imitation import imitate
from trainer.objectives.base import Example, Lesson, Outcome
from trainer.objectives.logits import collate, divergence
from trainer.rows import Reader, Row, load_tokenizer
from trainer.training import require_same_tokens


def learn_samples(
    lesson: Lesson[Any],
    *,
    columns: Callable[[Example], dict[str, Any]],
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]],
    losses: Callable[[Any, Any], Any],
) -> Outcome:
    """Fit an adapter on the sampled tokens, each after the prompt of the evaluation.

    Raises UsageError when a scoring model has other tokens than the student, and TracemillError when a sample has no
    log-probabilities.
    """
    require_logprobs(lesson)
    require_same_tokens(load_tokenizer(lesson.model), lesson.teachers, lesson.fit.objective)
    return imitate(
        lesson,
        read=_row,
        columns=lambda reader, example, row: columns(example),
        collate=collate,
        losses=losses,
    )


def _row(reader: Reader, example: Example) -> Row:
    return Row(reader.prompt_ids(example.question), list(decode(example.logprobs or b"").chosen))


def require_logprobs(lesson: Lesson[Any]) -> None:
    """Raise TracemillError if a sample has no log-probabilities."""
    n_missing = sum(example.logprobs is None for example in lesson.examples)
    if n_missing:
        raise TracemillError(
            f"objective '{lesson.fit.objective}': {n_missing} of {len(lesson.examples)} samples have no "
            "log-probabilities. Learn from the jobs of a loop: tracemill loop FILE"
        )


def learn_scores(lesson: Lesson[Any]) -> Outcome:
    """Fit an adapter by the reverse divergence from the stored scores of a teacher. Raises like `learn_samples`.

    KL(student ‖ teacher) of each token, over the teacher's k likeliest tokens and all other tokens as one outcome.
    """
    return learn_samples(
        lesson, columns=lambda example: {"logprobs": example.logprobs}, collate=collate, losses=reverse_divergences
    )


def reverse_divergences(model: Any, inputs: Any) -> Any:
    """N: KL(student ‖ teacher) of each learnt token; 0 where no score is stored."""
    forward = Pass(model, inputs)

    def loss(logits: Any, ids: Any, logprobs: Any) -> Any:
        return divergence(logits, ids, logprobs, is_reverse=True)

    return forward.of_logits(loss, *(forward.of_tokens(inputs[f"teacher_{name}"]) for name in ("ids", "logprobs")))
