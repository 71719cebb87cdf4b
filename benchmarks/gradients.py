"""Gradients of an adapter on 4-bit weights, compared with those on the dequantized weights of the same model.

bitsandbytes on CPU repacks the weights of a model in evaluation mode, and afterwards gradients are silently wrong. A
wrong kernel on a card would show in the same way.
"""

from typing import Any, NamedTuple

from trainer.fit_spec import FitSpec
from trainer.objectives import Example


class Compared(NamedTuple):
    """The comparison of all matrices of an adapter."""

    matrices: int
    #: The smallest of the largest entries of each gradient: 0 means that a matrix has none.
    least: float
    #: The smallest cosine of a gradient and its counterpart.
    cosine: float
    #: The largest distance of the ratio of their norms from 1.
    norm_error: float


def compared(model: str, examples: list[Example], dtype: str = "bfloat16") -> Compared:
    """Compare the gradients of one batch. `dtype`: that of the dequantized weights."""
    import torch
    from torch.nn.functional import cosine_similarity

    from trainer.student import base_model

    inputs = _batch(model, examples)
    packed = _gradients(_adapted(base_model(model, "nf4")), inputs)
    to = getattr(torch, dtype)
    plain = _gradients(_adapted(base_model(model, "nf4").dequantize(dtype=to).to(to)), inputs)
    if packed.keys() != plain.keys():
        raise ValueError("the two models have different adapters")
    return Compared(
        len(packed),
        min(float(gradient.abs().max()) for gradient in packed.values()),
        min(float(cosine_similarity(packed[name].flatten(), plain[name].flatten(), dim=0)) for name in packed),
        max(abs(float(packed[name].norm() / plain[name].norm()) - 1) for name in packed),
    )


def _batch(model: str, examples: list[Example]) -> dict[str, Any]:
    from transformers import AutoTokenizer

    from tracemill.prompts import Prompt
    from trainer.completion import Collator
    from trainer.rows import Reader
    from trainer.student import device

    reader = Reader(AutoTokenizer.from_pretrained(model), Prompt(({"role": "user", "content": "{question}"},)))
    rows = [reader.row(example.question, example.text) for example in examples]
    batch = Collator(0)([{"input_ids": row.input_ids, "labels": row.labels} for row in rows])
    return {name: value.to(device()) for name, value in batch.items()}


def _adapted(base: Any) -> Any:
    """The model with an adapter away from its start, the same for each: where B is 0, A has no gradient."""
    import torch
    from peft import get_peft_model

    from trainer.student import lora

    torch.manual_seed(0)
    student = get_peft_model(base, lora(FitSpec()))
    for name, value in student.named_parameters():
        if "lora_B" in name:
            value.data.normal_(std=0.05)
    return student.train()


def _gradients(student: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    from trainer.completion import Pass

    Pass(student, inputs).cross_entropy().mean().backward()
    return {name: value.grad.float() for name, value in student.named_parameters() if value.requires_grad}
