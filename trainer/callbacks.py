"""Callbacks of a fit: its progress, its checkpoints and the adapters of its epochs.

Checkpoints are written at intervals, and a killed fit resumes from the last complete checkpoint. A checkpoint is
complete when its mark is written, after everything else; then the previous checkpoint is deleted. The mark holds the
fingerprint of the lesson, so no fit resumes from a checkpoint of other examples or settings.
"""

import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerState

from tracemill.errors import TracemillError
from trainer.objectives.base import Progress

MARK = "complete"
#: The file of trained parameters that are not part of the adapter.
EXTRA_PARAMETERS = "beside.pt"


def latest(folder: Path, fingerprint: str) -> Path | None:
    """The newest complete checkpoint of the lesson with this fingerprint; makes a private folder for checkpoints.

    Raises TracemillError if others can write the folder: a checkpoint holds the state of a program.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise TracemillError(
            f"others can write the checkpoints in {folder}. If they are yours, run `chmod go-w {folder}`; otherwise "
            "remove the folder, and the fit starts anew"
        )
    complete = [mark.parent for mark in folder.glob(f"checkpoint-*/{MARK}") if mark.read_text() == fingerprint]
    return max(complete, key=_step, default=None)


class Resumable:
    """Mixin of a Transformers trainer that restores an adapter and the parameters beside it with their types."""

    model: Any

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        types = {name: value.dtype for name, value in self.model.named_parameters()}
        super()._load_from_checkpoint(checkpoint, model)  # type: ignore[misc]  # the base is a trainer
        beside = Path(checkpoint) / EXTRA_PARAMETERS
        saved = torch.load(beside, map_location="cpu", weights_only=True) if beside.exists() else {}
        for name, value in self.model.named_parameters():
            if name in saved:
                value.data.copy_(saved[name])
            value.data = value.data.to(types[name])  # PEFT always loads adapters in float32


class Checkpoints(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Requests a checkpoint every `seconds`, and marks it when it is complete."""

    def __init__(self, folder: Path, fingerprint: str, seconds: float) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if self._seconds and state.global_step < state.max_steps:
            due = [time.monotonic() >= self._due]
            if torch.distributed.is_initialized():  # the clock of the first process decides for all
                torch.distributed.broadcast_object_list(due)
            control.should_save = due[0]

    def on_save(self, args: Any, state: TrainerState, control: Any, model: Any = None, **_: Any) -> None:
        self._due = time.monotonic() + self._seconds
        if torch.distributed.is_initialized():  # every process writes its random state first
            torch.distributed.barrier()
        if not state.is_world_process_zero:
            return
        checkpoint = self._folder / f"checkpoint-{state.global_step}"
        trained = ((name, value) for name, value in model.named_parameters() if value.requires_grad)
        extra = {name: value.detach().cpu() for name, value in trained if "lora_" not in name}
        if extra and isinstance(model, PeftModel):  # otherwise the checkpoint holds all weights
            torch.save(extra, checkpoint / EXTRA_PARAMETERS)
        (checkpoint / MARK).write_text(self._fingerprint)
        for other in self._folder.glob("checkpoint-*"):
            if other != checkpoint:
                shutil.rmtree(other)


class KeptEpochs(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Saves the adapter at the end of every epoch. `ends`: the number of each epoch, from 1, by its last step.

    All processes call `save`.
    """

    def __init__(self, folder: Path, ends: Mapping[int, int], save: Callable[[Path], None]) -> None:
        self._folder = folder
        self._ends = ends
        self._save = save

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if state.global_step in self._ends:
            self._save(self._folder / f"epoch-{self._ends[state.global_step]}")


class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Reports after every entry of the loss history. Checkpoints hold that history, so a resumed fit continues it.

    `examples` and `tokens`: those of the whole fit, all epochs.
    """

    def __init__(self, report: Callable[[Progress], None], examples: int, tokens: int) -> None:
        self._report = report
        self._examples = examples
        self._tokens = tokens

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        self._started = time.monotonic()
        self._first = state.global_step

    def on_log(self, args: Any, state: TrainerState, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" not in (logs or {}) or not state.is_world_process_zero:
            return
        loss = [(entry["step"], round(entry["loss"], 4)) for entry in state.log_history if "loss" in entry]
        steps = state.global_step - self._first
        seconds = time.monotonic() - self._started
        done = steps / state.max_steps
        self._report(
            Progress(
                step=state.global_step,
                steps=state.max_steps,
                loss=tuple(loss),
                examples_per_second=round(done * self._examples / seconds, 2),
                tokens_per_second=round(done * self._tokens / seconds, 1),
                eta_seconds=round(seconds / steps * (state.max_steps - state.global_step), 1),
            )
        )


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
