"""Step by step: each step is learnt from the steps before it, and the answer from all steps, with separate weights.

Hsieh et al. 2023, Distilling Step-by-Step, arXiv:2305.02301, has one loss for the rationale and one for the label. Here
each step of the rationale has the same weight: a causal model predicts all steps in one pass, each from the question
and the steps before it. The loss of a text is (1 − w) × the mean over its steps + w × the loss of its answer. The
length of a step does not change its weight. Thoughts before the text are imitated as in `sft`: each of their tokens
has the weight 1, and the mean weight of the text's tokens is 1 too.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from tracemill.sections import Section
from trainer.objectives.base import Example, Lesson, Outcome, objective
from trainer.rows import Reader, Row
from trainer.turns import Turn


class StepwiseOptions(Section):
    """`[fit.stepwise]`."""

    #: The answer's share of the loss of the text after any thoughts; its steps share the rest equally.
    answer_weight: float = Field(default=0.5, gt=0, lt=1)


@objective("stepwise", StepwiseOptions)
def fit(lesson: Lesson[StepwiseOptions]) -> Outcome:
    """Fit an adapter on traces, step by step."""
    import torch

    from trainer.completion import Pass, padded
    from trainer.imitation import imitate

    def columns(reader: Reader, example: Example, row: Row) -> dict[str, Any]:
        turn = reader.turn(example.text, example.is_cut_off)
        starts = reader.starts(turn.text) + [len(turn.text)] * turn.is_complete
        of_turn = weights_of_turn(turn, starts, example.steps, lesson.options.answer_weight)
        return {"weights": [0.0] * len(row.prompt) + of_turn}

    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"weights": padded([torch.tensor(row["weights"]) for row in rows], 0.0)}

    def losses(model: Any, inputs: Any) -> Any:
        forward = Pass(model, inputs)
        return forward.cross_entropy() * forward.of_tokens(inputs["weights"])

    return imitate(lesson, columns=columns, collate=collate, losses=losses)


def weights_of_turn(turn: Turn, starts: Sequence[int], steps: Sequence[str], answer: float) -> list[float]:
    """A weight for each token of a turn, by its start. A turn that was cut off has no answer to weigh."""
    of_text = [start - turn.answer_start for start in starts if start >= turn.answer_start]
    positions = ends(turn.text[turn.answer_start :], steps) if turn.is_complete else []
    return [1.0] * (len(starts) - len(of_text)) + weights(of_text, positions, answer)


def ends(text: str, steps: Sequence[str]) -> list[int]:
    """The end of each step in the text; the rest after the last end is the answer.

    If there are no steps, or the text does not contain them, each line is a step, and the last line the answer.
    """
    positions = _ends_of_steps(text, steps) or _ends_of_lines(text)
    if positions and not text[positions[-1] :].strip():
        positions.pop()  # the last step gives the answer
    return positions


def _ends_of_steps(text: str, steps: Sequence[str]) -> list[int]:
    """Empty if the text does not contain every step."""
    positions: list[int] = []
    end = 0
    for step in steps:
        start = text.find(step, end)
        if start < 0:
            return []
        end = start + len(step)
        positions.append(end)
    return positions


def _ends_of_lines(text: str) -> list[int]:
    positions: list[int] = []
    end = 0
    for line in text.splitlines(keepends=True):
        end += len(line)
        if line.strip():
            positions.append(end)
    return positions


def weights(starts: Sequence[int], ends: Sequence[int], answer: float) -> list[float]:
    """A weight for each token, by its start in the text; the mean of all weights is 1, as without weights.

    The tokens of the answer have the share `answer` of the sum; the steps share the rest equally.
    """
    parts = [sum(start >= end for end in ends) for start in starts]
    *steps, last = sorted(set(parts))
    if not steps:
        return [1.0] * len(starts)
    share = {part: (1 - answer) / len(steps) for part in steps} | {last: answer}
    return [len(parts) * share[part] / parts.count(part) for part in parts]
