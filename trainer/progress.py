"""How a fit's progress is told while it runs."""

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import TrainerState

from trainer.objectives.base import Progress


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
