"""Step by step: each step is learnt from those before it, and the answer from all of them, with weights of their own.

Hsieh et al. 2023, Distilling Step-by-Step, arXiv:2305.02301, has a loss for the rationale and one for the label. Here
the rationale is weighed step by step: a causal model predicts every step from the question and the steps before in one
pass. A trace's loss is (1 − w) × the mean over its steps + w × that of its answer, however long each of them is.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from tracemill.sections import Section
from trainer.objectives.base import Example, Lesson, Outcome, objective
from trainer.rows import Reader, Row


class StepwiseOptions(Section):
    """`[fit.stepwise]`."""

    #: The answer's share of the loss; its steps share the rest equally.
    answer_weight: float = Field(default=0.5, gt=0, lt=1)


@objective("stepwise", StepwiseOptions)
def fit(lesson: Lesson[StepwiseOptions]) -> Outcome:
    """Fit an adapter on traces, step by step."""
    import torch

    from trainer.completion import Pass, padded
    from trainer.imitation import imitate

    def columns(reader: Reader, example: Example, row: Row) -> dict[str, Any]:
        places = reader.tokenizer(example.text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        starts = [start for start, _ in places] + [len(example.text)]
        return {"weights": [0.0] * len(row.prompt) + weights(starts, ends(example), lesson.options.answer_weight)}

    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {"weights": padded([torch.tensor(row["weights"]) for row in rows], 0.0)}

    def losses(model: Any, inputs: Any) -> Any:
        seen = Pass(model, inputs)
        return seen.cross_entropy() * seen.of_tokens(inputs["weights"])

    return imitate(lesson, columns=columns, collate=collate, losses=losses)


def ends(example: Example) -> list[int]:
    """Where each step ends in the example's text; what comes after the last one is the answer.

    A trace without steps, or whose steps are not in its text, is told apart by lines, of which the last is the answer.
    """
    found: list[int] = []
    here = 0
    for step in example.steps:
        place = example.text.find(step, here)
        if place < 0:
            found = []
            break
        here = place + len(step)
        found.append(here)
    if not found:
        text, here = example.text, 0
        for line in text.splitlines(keepends=True):
            here += len(line)
            if line.strip():
                found.append(here)
        found = found[:-1]
    elif not example.text[found[-1] :].strip():
        found.pop()  # its last step is where it gives its answer
    return found


def weights(starts: Sequence[int], ends: Sequence[int], answer: float) -> list[float]:
    """A weight for each token, by where it starts in the text; their mean is 1, as if there were none.

    The tokens of the answer have `answer` of the sum of all, and each step has the same part of the rest.
    """
    parts = [sum(start >= end for end in ends) for start in starts]
    there = sorted(set(parts))
    steps = there[:-1]
    if not steps:
        return [1.0] * len(starts)
    share = {part: (1 - answer) / len(steps) for part in steps} | {there[-1]: answer}
    return [len(parts) * share[part] / parts.count(part) for part in parts]
