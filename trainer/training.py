"""The training loop of all objectives: student, order of the rows, arguments, checkpoints, progress, adapter."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, TrainingArguments

from tracemill.errors import UsageError
from tracemill.weights import vocabulary_hash
from trainer.callbacks import Checkpoints, KeptEpochs, Reporter, latest
from trainer.lm_head import whole
from trainer.objectives.base import Lesson, Outcome
from trainer.order import order
from trainer.passes import LENGTH, PassCollator
from trainer.rows import load_tokenizer
from trainer.student import base_model, device, lora

#: Padded tokens in one forward pass on CPU, where it keeps every activation: about 2 MB a token of a 135M student.
TOKENS_A_PASS = 2048
#: The same limit on CUDA, where it computes the activations again.
TOKENS_A_CUDA_PASS = 16384
#: About this many points are in the loss history of every fit.
LOSS_POINTS = 200


@dataclass(frozen=True)
class Material:
    """The rows of a fit."""

    #: The columns that the trainer's collator reads.
    columns: Mapping[str, Sequence[Any]]
    #: Length of each row; that of a pair is the length of its longer answer.
    lengths: Sequence[int]
    #: All tokens of each row, of both answers of a pair.
    tokens: Sequence[int]
    #: Stage of each row in the curriculum.
    stages: Sequence[int]
    #: Number of examples that were left out.
    too_long: int


def train(
    lesson: Lesson[Any],
    material: Material,
    trainer_class: type[Trainer],
    arguments_class: type[TrainingArguments],
    *,
    arguments: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    tokens_a_pass: int,
    prepare: Callable[[PreTrainedModel], None] = lambda model: None,
) -> Outcome:
    """Fit an adapter and save it in `lesson.folder`; resumes from the lesson's latest checkpoint, if there is one.

    The two classes get `arguments` and `options` besides the arguments of all objectives. `prepare` may add parameters
    to the model, which are trained beside the adapter.
    """
    fit = lesson.fit
    is_lora = fit.tuning == "lora"
    indices = order(material.lengths, material.stages, lesson.epochs, fit.batch_size, fit.seed)
    checkpoints = lesson.round / "checkpoints"
    resumed = latest(checkpoints, lesson.fingerprint)
    shared = _arguments(lesson, len(indices), checkpoints)
    columns = {**material.columns, LENGTH: material.lengths}
    trainer = trainer_class(
        model=_student(lesson),
        args=arguments_class(**shared, **(arguments or {})),
        train_dataset=Dataset.from_dict(columns).select(indices),
        processing_class=load_tokenizer(lesson.model),
        peft_config=lora(fit) if is_lora and lesson.start is None else None,
        callbacks=[
            Reporter(lesson.report, len(indices), sum(material.tokens[row] for row in indices)),
            Checkpoints(checkpoints, lesson.fingerprint, fit.checkpoint_seconds),
        ],
        **(options or {}),
    )
    trainer.data_collator = PassCollator(trainer.data_collator, tokens_a_pass)
    prepare(trainer.model)
    if fit.keep_epochs:
        ends = _ends(material.stages, lesson.epochs, fit.batch_size)
        trainer.add_callback(KeptEpochs(lesson.round, ends, lambda folder: _save(trainer, folder)))
    started = time.monotonic()
    trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
    seconds = time.monotonic() - started
    _write(trainer, lesson.folder)
    return Outcome(
        examples=len(material.tokens),
        too_long=material.too_long,
        tokens=sum(material.tokens),
        seconds=seconds,
        resumed=int(resumed.name.rpartition("-")[2]) if resumed else 0,
    )


def _student(lesson: Lesson[Any]) -> Any:
    fit = lesson.fit
    dtype = torch.bfloat16 if fit.tuning == "lora" else torch.float32
    base = base_model(lesson.model, fit.quantisation, dtype, fit.shard)
    return base if lesson.start is None else PeftModel.from_pretrained(base, lesson.start, is_trainable=True)


def _arguments(lesson: Lesson[Any], rows: int, folder: Path) -> dict[str, Any]:
    fit = lesson.fit
    cuda = device() != "cpu"
    steps = -(-rows // fit.batch_size)
    return {
        "output_dir": str(folder),
        # The order of the rows holds all epochs.
        "num_train_epochs": 1,
        "train_sampling_strategy": "sequential",
        "per_device_train_batch_size": fit.batch_size // fit.processes,
        "learning_rate": fit.learning_rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": steps // 20,
        "seed": fit.seed,
        "bf16": True,
        "use_cpu": not cuda,
        "ddp_backend": "gloo" if fit.processes > 1 and not cuda else None,
        "ddp_find_unused_parameters": False,
        "fsdp": fit.shard,
        # On CPU memory suffices, and computing activations twice takes a third more time.
        "gradient_checkpointing": cuda,
        "dataloader_pin_memory": cuda,
        "remove_unused_columns": False,
        "max_length": None,
        "logging_steps": max(1, steps // LOSS_POINTS),
        "save_strategy": "no",  # `Checkpoints` saves
        "report_to": "none",
        "disable_tqdm": True,
    }


def _ends(stages: Sequence[int], epochs: Sequence[int], batch: int) -> dict[int, int]:
    """The number of each epoch, from 1, by the step in which it ends."""
    ends, rows, epoch = {}, 0, 0
    for stage, n_epochs in enumerate(epochs):
        for _ in range(n_epochs):
            rows, epoch = rows + list(stages).count(stage), epoch + 1
            ends[-(-rows // batch)] = epoch
    return ends


def _save(trainer: Trainer, folder: Path) -> None:
    unfinished = folder.with_name(f".{folder.name}")
    _write(trainer, unfinished)
    if trainer.is_world_process_zero():
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)


def _write(trainer: Trainer, folder: Path) -> None:
    """Save the adapter, or a whole model in bfloat16 with its tokenizer: by the first process, all must call this."""
    if isinstance(trainer.model, PeftModel):
        trained = {name: whole(value) for name, value in trainer.model.named_parameters() if value.requires_grad}
        if trainer.is_world_process_zero():
            trainer.model.save_pretrained(str(folder), state_dict=trained)
        return
    if not trainer.is_world_process_zero():
        return
    model = trainer.model
    rounded: dict[int, Any] = {}
    for value in model.state_dict().values():
        rounded.setdefault(value.data_ptr(), value.to(torch.bfloat16))  # tied weights stay one tensor
    weights = {name: rounded[value.data_ptr()] for name, value in model.state_dict().items()}
    model.save_pretrained(str(folder), state_dict=weights)
    model.config.dtype = torch.bfloat16
    model.config.save_pretrained(str(folder))
    trainer.processing_class.save_pretrained(str(folder))


def require_same_tokens(student: PreTrainedTokenizerBase, teachers: Sequence[str], objective: str) -> None:
    """Raise UsageError unless the token ids of every teacher mean the same as the student's."""
    for teacher in teachers:
        try:
            other = load_tokenizer(teacher)
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
    """A hash of all tokens and their ids."""
    return vocabulary_hash(tokenizer.get_vocab())
