"""Callbacks of a fit: its progress, and its checkpoints.

Checkpoints are written every so many seconds, gone on from when the fit was killed, removed when it is done.

A checkpoint counts once its mark is written, after everything else; the mark holds the lesson's fingerprint, so nobody
goes on from a checkpoint of other examples or settings. The one before is removed after that.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerState

from trainer.objectives.base import Progress

MARK = "complete"
#: Trained parameters that are no part of the adapter.
BESIDE = "beside.pt"


def latest(folder: Path, fingerprint: str) -> Path | None:
    """The newest complete checkpoint of the lesson with this fingerprint."""
    complete = [mark.parent for mark in folder.glob(f"checkpoint-*/{MARK}") if mark.read_text() == fingerprint]
    return max(complete, key=_step, default=None)


class Resumable:
    """Put before a Transformers trainer: it takes up an adapter, and what is trained beside it, as it was left."""

    model: Any

    def _load_from_checkpoint(self, checkpoint: str, model: Any = None) -> None:
        before = {name: value.dtype for name, value in self.model.named_parameters()}
        super()._load_from_checkpoint(checkpoint, model)  # type: ignore[misc]  # of the trainer
        beside = Path(checkpoint) / BESIDE
        saved = torch.load(beside, map_location="cpu", weights_only=True) if beside.exists() else {}
        for name, value in self.model.named_parameters():
            if name in saved:
                value.data.copy_(saved[name])
            value.data = value.data.to(before[name])  # PEFT loads adapters in float32, whatever they were trained in


class Checkpoints(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Asks for a checkpoint when `seconds` have passed, and marks it when it is there."""

    def __init__(self, folder: Path, fingerprint: str, seconds: float) -> None:
        self._folder = folder
        self._fingerprint = fingerprint
        self._seconds = seconds
        self._due = time.monotonic() + seconds

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if self._seconds and state.global_step < state.max_steps:
            due = [time.monotonic() >= self._due]
            if torch.distributed.is_initialized():  # the first process's clock decides for all
                torch.distributed.broadcast_object_list(due)
            control.should_save = due[0]

    def on_save(self, args: Any, state: TrainerState, control: Any, model: Any = None, **_: Any) -> None:
        self._due = time.monotonic() + self._seconds
        if torch.distributed.is_initialized():  # each process has written its own random state
            torch.distributed.barrier()
        if not state.is_world_process_zero:
            return
        here = self._folder / f"checkpoint-{state.global_step}"
        learnt = ((name, value) for name, value in model.named_parameters() if value.requires_grad)
        beside = {name: value.detach().cpu() for name, value in learnt if "lora_" not in name}
        if beside:
            torch.save(beside, here / BESIDE)
        (here / MARK).write_text(self._fingerprint)
        for other in self._folder.glob("checkpoint-*"):
            if other != here:
                shutil.rmtree(other)


class KeptEpochs(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Saves the adapter at the end of every epoch. `ends`: the epoch, from 1, by the step that ends it."""

    def __init__(self, folder: Path, ends: Mapping[int, int], save: Callable[[Path], None]) -> None:
        self._folder = folder
        self._ends = ends
        self._save = save

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if state.is_world_process_zero and state.global_step in self._ends:
            self._save(self._folder / f"epoch-{self._ends[state.global_step]}")


class Reporter(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Reports after every entry of the loss history, which checkpoints keep: a resumed fit goes on with it.

    `examples` and `tokens`: of the whole fit, all epochs.
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
        here = state.global_step - self._first
        seconds = time.monotonic() - self._started
        done = here / state.max_steps
        self._report(
            Progress(
                step=state.global_step,
                steps=state.max_steps,
                loss=tuple(loss),
                examples_per_second=round(done * self._examples / seconds, 2),
                tokens_per_second=round(done * self._tokens / seconds, 1),
                eta_seconds=round(seconds / here * (state.max_steps - state.global_step), 1),
            )
        )


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
