"""The fit of objectives that imitate single traces; each has its own loss for every learnt token."""

from collections.abc import Callable, Sequence
from typing import Any

from transformers import PreTrainedModel
from transformers.utils import is_liger_kernel_available
from trl import SFTConfig

from trainer.completion import Collator, CompletionTrainer
from trainer.objectives.base import Example, Lesson, Outcome
from trainer.rows import Reader, Row, load_tokenizer, short
from trainer.student import device, has_flash_attention
from trainer.training import TOKENS_A_CUDA_PASS, TOKENS_A_PASS, Material, train


def imitate(
    lesson: Lesson[Any],
    *,
    read: Callable[[Reader, Example], Row] = lambda reader, example: reader.row(
        example.question, example.text, example.is_cut_off
    ),
    columns: Callable[[Reader, Example, Row], dict[str, Any]] = lambda reader, example, row: {},
    collate: Callable[[Sequence[dict[str, Any]]], dict[str, Any]] | None = None,
    losses: Callable[[Any, Any], Any] | None = None,
    prepare: Callable[[PreTrainedModel], None] = lambda model: None,
    keeps_states: bool = False,
) -> Outcome:
    """Fit an adapter on the lesson's traces by cross-entropy, or by `losses` (`trainer.completion`).

    `read` makes a row of an example, `columns` makes the further values that the losses need, and `collate` makes
    tensors of these. Losses with `keeps_states` keep the hidden states of every layer, which take memory. Raises
    TracemillError when every example is too long.
    """
    tokenizer = load_tokenizer(lesson.model)
    reader = Reader(tokenizer, lesson.prompt, lesson.chat_template_kwargs)
    indices, rows = short((read(reader, example) for example in lesson.examples), lesson.fit.max_tokens)
    examples = [lesson.examples[index] for index in indices]
    extra = [columns(reader, example, row) for example, row in zip(examples, rows, strict=True)]
    material = Material(
        columns={
            "input_ids": [row.input_ids for row in rows],
            "labels": [row.labels for row in rows],
            **{name: [values[name] for values in extra] for name in extra[0]},
        },
        lengths=[row.tokens for row in rows],
        tokens=[row.tokens for row in rows],
        stages=[example.stage for example in examples],
        too_long=len(lesson.examples) - len(rows),
    )
    # Flash attention reads the rows of a pass as one sequence without padding, which trl's collator makes.
    is_packed = losses is None and has_flash_attention()
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return train(
        lesson,
        material,
        CompletionTrainer,
        SFTConfig,
        arguments={
            "dataset_kwargs": {"skip_prepare_dataset": True},
            "padding_free": is_packed,
            "use_liger_kernel": losses is None and device() != "cpu" and is_liger_kernel_available(),
        },
        options={"data_collator": None if is_packed else Collator(pad, collate), "losses": losses},
        tokens_a_pass=TOKENS_A_PASS if device() == "cpu" or keeps_states else TOKENS_A_CUDA_PASS,
        prepare=prepare,
    )
