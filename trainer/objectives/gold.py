"""On-policy distillation across tokenizers: the teacher scores the text of each sample in its own tokens.

Patiño et al. 2025, GOLD (trl's `GOLDTrainer`), after Boizard et al. 2024, ULD, arXiv:2402.12030. Where the two models
cut the text into the same tokens, the loss is that of `on_policy` over the tokens that both know. A token that only one
of them makes has no loss: between SmolLM2 and Qwen2.5 that is 1 of 18 in solutions of GSM8K. trl also compares merged
tokens, with the teacher in the process that trains.
"""

from typing import Any

from tracemill.errors import TracemillError, UsageError
from tracemill.logprobs import decode, encode
from trainer.objectives.base import Example, Lesson, Outcome, ScoredOptions, Scorer, objective
from trainer.rows import Reader, Row, load_tokenizer


class GoldOptions(ScoredOptions):
    """`[fit.gold]`."""

    #: Model alias of the teacher. Its tokens may differ from those of the student.
    teacher: str = "teacher"

    def scorer(self, student: str) -> Scorer:
        return Scorer(self.teacher, "cot", self.top_k, "text")


@objective("gold", GoldOptions, logprobs=True)
def fit(lesson: Lesson[GoldOptions]) -> Outcome:
    """Fit an adapter on samples whose text the teacher has scored.

    Raises UsageError when several teachers have scored them, and TracemillError when no token is aligned.
    """
    from trainer.alignment import Alignment, token_bytes
    from trainer.imitation import imitate
    from trainer.objectives.logits import collate
    from trainer.own_words import require_logprobs, reverse_divergences

    require_logprobs(lesson)
    if len(lesson.teachers) != 1:
        raise UsageError(f"objective 'gold' learns from one teacher, not from {', '.join(lesson.teachers)}")
    teacher, student = (load_tokenizer(model) for model in (*lesson.teachers, lesson.model))
    end = Reader(student, lesson.prompt, lesson.chat_template_kwargs).form.end
    alignment = Alignment(token_bytes(student, end), token_bytes(teacher, teacher.eos_token_id))
    n_scored = 0

    def columns(reader: Reader, example: Example, row: Row) -> dict[str, Any]:
        nonlocal n_scored
        scores = alignment.aligned(row.completion, decode(example.logprobs or b""))
        n_scored += len(scores.columns[2])
        return {"logprobs": encode(scores)}

    def checked(rows: Any) -> dict[str, Any]:
        if not n_scored:
            raise TracemillError("objective 'gold': teacher and student have no token in common")
        return collate(rows)

    return imitate(lesson, columns=columns, collate=checked, losses=reverse_divergences)
