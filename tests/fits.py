"""A fit of one step an epoch as a black box, and a model's log-probabilities by hand, in float32."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lessons import lesson
from trainer.objectives import Example, Progress, find

#: Examples in the only batch of an epoch.
BATCH = 4
#: Reported losses have four decimals, and a fit may compute in bfloat16.
ROUNDED = 0.002


@dataclass(frozen=True)
class Fitted:
    """A fit of one step an epoch: the loss of each step, and the student before the first and after each."""

    losses: list[float]
    students: list[Any]


def fit(
    student: str,
    folder: Path,
    examples: list[Example],
    *,
    steps: int = 2,
    teachers: tuple[str, ...] = (),
    start: str | None = None,
    **settings: Any,
) -> Fitted:
    """Fit an adapter, one step an epoch. The first of the students is the base model, also with `start`."""
    from peft import PeftModel

    reported: list[Progress] = []
    settings = {"quantisation": "none", "batch_size": BATCH, "max_tokens": 256, "learning_rate": 3e-3} | settings
    given = lesson(
        student,
        folder,
        examples,
        report=reported.append,
        epochs=(steps,),
        teachers=teachers,
        start=start,
        keep_epochs=True,
        **settings,
    )
    find(given.fit.objective).fit(given)
    kept = [PeftModel.from_pretrained(load(student), str(folder / f"epoch-{n + 1}")) for n in range(steps)]
    return Fitted([loss for _, loss in reported[-1].loss], [load(student), *kept])


def load(folder: str) -> Any:
    """The model in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def read(student: str, question: str, text: str) -> tuple[list[int], list[int]]:
    """The tokens of the conversation up to the answer, and those of the answer with the end of the turn."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(student)
    turns = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids = [tokenizer(each, add_special_tokens=False)["input_ids"] for each in (prompt, text + "<|im_end|>")]
    return ids[0], ids[1]


def all_logprobs(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> Any:
    """The model's log-probabilities at each token of the answer: answer tokens × vocabulary."""
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0]
    return logits[len(prompt) - 1 : -1].log_softmax(-1)
