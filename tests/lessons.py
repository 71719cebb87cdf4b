"""Lessons for objectives: sums with their steps, right and wrong, and a teacher's log-probabilities."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tracemill.logprobs import TopK, encode
from tracemill.prompts import Prompt
from trainer.fit_spec import FitSpec
from trainer.objectives import Example, Lesson, Progress

ASK = Prompt(({"role": "user", "content": "{question}"},))
#: The teacher's probability of one other token, and of all remaining tokens.
OTHER, REST = 0.08, 0.02


def sums(count: int, role: str = "sft", wrong: int = 0) -> list[Example]:
    """Examples of two steps and an answer; `wrong` is added to every result."""
    examples = []
    for number in range(count):
        total = number + 7 + wrong
        steps = (f"There are {number} and 7.", f"{number} + 7 = {total}.")
        text = f"{steps[0]}\n{steps[1]}\nThe answer is {total}."
        examples.append(Example(role, f"What is {number} + 7?", text, position=number, steps=steps))
    return examples


def pairs(count: int) -> list[Example]:
    """Right and wrong examples in the order of a round."""
    both = sums(count, "chosen") + sums(count, "rejected", wrong=1)
    return sorted(both, key=lambda example: (example.position, example.role))


def with_logprobs(examples: list[Example], tokenizer: Any) -> list[Example]:
    """Add log-probabilities of a confident teacher to the examples."""
    import math
    from dataclasses import replace

    sure = {True: math.log(1 - OTHER - REST), False: math.log(OTHER)}
    with_teacher = []
    for example in examples:
        ids = [*tokenizer(example.text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        places = ((token, {token: sure[True], (token + 1) % len(tokenizer): sure[False]}) for token in ids)
        with_teacher.append(replace(example, logprobs=encode(TopK.of(places))))
    return with_teacher


def lesson(
    model: str,
    folder: Path,
    examples: list[Example],
    *,
    report: Callable[[Progress], None] = lambda progress: None,
    epochs: tuple[int, ...] = (2,),
    teachers: tuple[str, ...] = (),
    start: str | None = None,
    **fit: Any,
) -> Lesson[Any]:
    """Build a lesson in a new folder."""
    adapter = folder / "adapter"
    adapter.mkdir(parents=True, exist_ok=True)
    spec = FitSpec.model_validate({"batch_size": 4, "max_tokens": 128, **fit})
    return Lesson(model, ASK, examples, spec, spec.options, epochs, folder, adapter, report, teachers, start)
