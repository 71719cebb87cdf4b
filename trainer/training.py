"""What all objectives share: the student, the order of the rows, the arguments, checkpoints, progress, the adapter."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments

from tracemill.errors import UsageError
from trainer.callbacks import Checkpoints, KeptEpochs, Reporter, latest
from trainer.objectives.base import Lesson, Outcome
from trainer.order import order
from trainer.student import base_model, device, lora

#: Padded tokens in one forward pass: more of them take more memory. About 2 MB each with a 135M student on CPU.
TOKENS_A_PASS = 2048
#: The same where a kernel keeps the logits out of memory.
TOKENS_A_FUSED_PASS = 16384
#: The loss history keeps about this many points however long the fit is.
LOSS_POINTS = 200


@dataclass(frozen=True)
class Material:
    """The rows to learn from."""

    #: What the trainer's collator reads, column by column.
    columns: Mapping[str, Sequence[Any]]
    #: Of each row: how long it is, all tokens that it has (a pair is as long as the longer of two), and its stage in
    #: the curriculum.
    lengths: Sequence[int]
    tokens: Sequence[int]
    stages: Sequence[int]
    too_long: int


def train(
    lesson: Lesson[Any],
    material: Material,
    trainer_class: type[Trainer],
    arguments_class: type[TrainingArguments],
    *,
    arguments: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    tokens_a_pass: int = TOKENS_A_PASS,
    prepare: Callable[[PreTrainedModel], None] = lambda model: None,
) -> Outcome:
    """Fit an adapter and save it in `lesson.folder`; goes on from the lesson's latest checkpoint where there is one.

    `arguments` and `options` go to the two classes, on top of what all objectives share; `prepare` may give the model
    parameters that are trained beside the adapter.
    """
    fit = lesson.fit
    seen = order(material.lengths, material.stages, lesson.epochs, fit.batch_size, fit.seed)
    checkpoints = lesson.round / "checkpoints"
    resumed = latest(checkpoints, lesson.fingerprint)
    shared = _arguments(lesson, len(seen), max(material.lengths), tokens_a_pass, checkpoints)
    trainer = trainer_class(
        model=base_model(lesson.model, fit.quantisation),
        args=arguments_class(**shared, **(arguments or {})),
        train_dataset=Dataset.from_dict(dict(material.columns)).select(seen),
        processing_class=AutoTokenizer.from_pretrained(lesson.model),
        peft_config=lora(fit),
        callbacks=[
            Reporter(lesson.report, len(seen), sum(material.tokens[row] for row in seen)),
            Checkpoints(checkpoints, lesson.fingerprint, fit.checkpoint_seconds),
        ],
        **(options or {}),
    )
    prepare(trainer.model)
    if fit.keep_epochs:
        ends = _ends(material.stages, lesson.epochs, fit.batch_size)
        trainer.add_callback(KeptEpochs(lesson.round, ends, lambda folder: _save(trainer, folder)))
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    seconds = time.monotonic() - started
    if trainer.is_world_process_zero():
        trainer.model.save_pretrained(str(lesson.folder))
    return Outcome(
        examples=len(material.tokens),
        too_long=material.too_long,
        tokens=sum(material.tokens),
        seconds=seconds,
        resumed=int(resumed.name.rpartition("-")[2]) if resumed else 0,
    )


def passes_a_step(batch_size: int, longest: int, tokens: int) -> int:
    """Into how many equal forward passes a batch is split so that none holds more than `tokens` padded tokens."""
    splits = (n for n in range(1, batch_size + 1) if batch_size % n == 0)
    return next((n for n in splits if batch_size // n * longest <= tokens), batch_size)


def _arguments(lesson: Lesson[Any], rows: int, longest: int, tokens_a_pass: int, folder: Path) -> dict[str, Any]:
    fit = lesson.fit
    cuda = device() != "cpu"
    own = fit.batch_size // fit.processes
    passes = passes_a_step(own, longest, tokens_a_pass)
    steps = -(-rows // fit.batch_size)
    return {
        "output_dir": str(folder),
        # All epochs are in the order of the rows.
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "per_device_train_batch_size": own // passes,
        "gradient_accumulation_steps": passes,
        "learning_rate": fit.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": steps // 20,
        "seed": fit.seed,
        "bf16": True,
        "use_cpu": not cuda,
        "ddp_backend": "gloo" if fit.processes > 1 and not cuda else None,
        "ddp_find_unused_parameters": False,
        # On CPU memory is enough and computing the activations twice is a third more work.
        "gradient_checkpointing": cuda,
        "dataloader_pin_memory": cuda,
        "remove_unused_columns": False,
        "max_length": None,
        "logging_steps": max(1, steps // LOSS_POINTS),
        "save_strategy": "no",  # `Checkpoints` decides
        "report_to": "none",
        "disable_tqdm": True,
    }


def _ends(stages: Sequence[int], epochs: Sequence[int], batch: int) -> dict[int, int]:
    """The epochs, from 1, by the step in which they end."""
    ends, rows, number = {}, 0, 0
    for stage, times in enumerate(epochs):
        for _ in range(times):
            rows, number = rows + list(stages).count(stage), number + 1
            ends[-(-rows // batch)] = number
    return ends


def _save(trainer: Trainer, folder: Path) -> None:
    unfinished = folder.with_name(f".{folder.name}")
    trainer.model.save_pretrained(str(unfinished))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def require_same_tokens(student: PreTrainedTokenizerBase, teachers: Sequence[str], objective: str) -> None:
    """Raise UsageError unless every teacher's token ids mean what the student's mean."""
    for teacher in teachers:
        try:
            other = AutoTokenizer.from_pretrained(teacher)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"fit.objective = '{objective}' must compare the teacher's tokens with the student's, but {teacher} "
                f"has no tokenizer that can be loaded: {str(error).partition(chr(10))[0]}"
            ) from None
        if vocabulary(other) != vocabulary(student):
            raise UsageError(
                f"fit.objective = '{objective}' compares token by token, but the tokens of the teacher {teacher} "
                f"({len(other)}) are not the student's ({len(student)}). Take a teacher and a student of one family, "
                "or objective = 'sft', which learns from text."
            )


def vocabulary(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of every token and its id."""
    tokens = sorted(tokenizer.get_vocab().items())
    return hashlib.blake2b(json.dumps(tokens).encode(), digest_size=16).hexdigest()
