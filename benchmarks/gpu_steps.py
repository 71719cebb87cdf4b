"""The steps of `benchmarks.gpu`. Each runs as `python -m benchmarks.gpu_steps STEP MODEL FOLDER`.

A step prints its figures as the last line, as JSON. It fails with an exception whose last line is the reason.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.common import environment
from tracemill.cards import cards
from tracemill.interpreter import python
from tracemill.model_settings import ModelSettings
from tracemill.processes import is_alive

Figures = dict[str, float]
GIB = 2**30
OBJECTIVES = ("sft", "stepwise", "preference", "logits", "features")
#: Sums that a student is asked before and after its fit.
QUESTIONS = 24
#: Examples of one fit, and how often it sees them.
EXAMPLES, EPOCHS = 24, (3,)
#: Seconds within which a killed worker's processes and memory must be gone.
GONE_SECONDS = 20.0
#: Memory of a card that may stay away after a kill: other programs use it too.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Step:
    """One step and the least time in which it is worth a try."""

    run: Callable[[str, Path], Figures]
    min_seconds: int


class StepFailed(Exception):
    """A claim of a step does not hold."""


def saturation(model: str, folder: Path) -> Figures:
    """The factory's output tokens a second relative to a bare `LLM.generate` call."""
    from benchmarks.saturation import measure

    return measure(True, model)


def kill(model: str, folder: Path) -> Figures:
    """kill -9 of the process that owns an engine leaves no process, and gives the card's memory back."""
    import psutil

    before = _free()
    code = "import sys; from benchmarks.gpu_steps import hold; hold(sys.argv[1], sys.argv[2])"
    owner = subprocess.Popen(
        [sys.executable, "-P", "-c", code, model, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment(),
    )
    assert owner.stdout is not None
    if not any(line.startswith("up") for line in owner.stdout):
        raise StepFailed("the engine did not start")
    children = psutil.Process(owner.pid).children(recursive=True)
    loaded = _free()
    owner.kill()
    owner.wait()
    started = time.monotonic()
    while time.monotonic() - started < GONE_SECONDS:
        left = [process for process in children if is_alive(process)]
        if not left and _free() >= before - TOLERANCE * _memory():
            figures = {"processes": len(children), "seconds": time.monotonic() - started}
            return figures | ({"gib_given_back": (_free() - loaded) / GIB} if cards() else {})
        time.sleep(0.1)
    raise StepFailed(
        f"after {GONE_SECONDS:.0f} s: {len(left)} processes left, {(before - _free()) / GIB:.1f} GiB missing"
    )


def hold(model: str, folder: str) -> None:
    """Load an engine and keep it until this process is killed."""
    _engine(model, Path(folder))
    print("up", flush=True)
    time.sleep(3600)


def gradients(model: str, folder: Path) -> Figures:
    """Gradients on NF4 weights equal those on the same weights in bfloat16."""
    from benchmarks.gradients import compared
    from tests.lessons import sums

    result = compared(model, sums(4))
    if result.least <= 0 or result.cosine < 0.99 or result.norm_error > 0.1:
        raise StepFailed(f"wrong gradients: {result}")
    return {name: float(value) for name, value in result._asdict().items()}


def fit(objective: str, model: str, folder: Path) -> Figures:
    """A QLoRA fit with one objective: its loss falls. The adapter of `sft` stays for later steps."""
    from transformers import AutoTokenizer

    from tests.lessons import lesson, pairs, sums, with_logprobs
    from trainer.objectives import Progress, find

    learner = find(objective)
    examples = pairs(EXAMPLES) if learner.pairs else sums(EXAMPLES)
    if learner.logprobs:
        examples = with_logprobs(examples, AutoTokenizer.from_pretrained(model))
    reports: list[Progress] = []
    teachers = (model,) if learner.logprobs or learner.teacher else ()
    given = lesson(
        model, folder / objective, examples, report=reports.append, epochs=EPOCHS, teachers=teachers,
        objective=objective, learning_rate=1e-3,
    )  # fmt: skip
    outcome = learner.fit(given)
    losses = [loss for _, loss in reports[-1].loss]
    first, last = mean(losses[:3]), mean(losses[-3:])
    if not last < first:
        raise StepFailed(f"the loss did not fall: {first:.3f} at first, {last:.3f} at the end")
    return {"first_loss": first, "last_loss": last, "seconds": outcome.seconds, "peak_gib": _peak() / GIB}


def adapter(model: str, folder: Path) -> Figures:
    """An adapter is served without a restart, beside the base model."""
    from tracemill.event_loop import run
    from tracemill.sampling import Sampling

    made, engine = _adapter(folder), _engine(model, folder)
    message = _messages(QUESTIONS)[-1]
    greedy = Sampling(temperature=0, max_tokens=24)
    texts, seconds = [], []
    for path in (None, made, None, made):
        started = time.monotonic()
        texts.append(run(engine.generate(message, 1, greedy, path)).completions[0].text)
        seconds.append(time.monotonic() - started)
    run(engine.close())
    if texts[0] != texts[2] or texts[1] != texts[3] or texts[0] == texts[1]:
        raise StepFailed("the adapter changed nothing, or its answers and those of the base mix")
    return {"base_s": seconds[2], "first_s": seconds[1], "later_s": seconds[3]}


def evaluation(model: str, folder: Path) -> Figures:
    """Sums that the base and the trained student get right; the fit has seen the same sums."""
    from tracemill.event_loop import gather, run
    from tracemill.sampling import Sampling

    made, engine = _adapter(folder), _engine(model, folder)
    greedy = Sampling(temperature=0, max_tokens=48)
    right = {}
    for name, path in (("before", None), ("after", made)):
        answers = run(gather(*(engine.generate(message, 1, greedy, path) for message in _messages(QUESTIONS))))
        texts = [answer.completions[0].text for answer in answers]
        right[name] = sum(f"answer is {number + 7}" in text for number, text in enumerate(texts)) / len(texts)
    run(engine.close())
    if right["after"] < right["before"]:
        raise StepFailed(f"{right['before']:.0%} right before the fit, {right['after']:.0%} after it")
    return right


def sharing(model: str, folder: Path) -> Figures:
    """Two aliases with an engine each, and a fit, on one card. The engines sleep while the fit runs."""
    from benchmarks.saturation import SAMPLING, questions_of
    from benchmarks.stack import factory, scalar
    from tracemill.lending import borrowed
    from tracemill.sampling import Sampling

    card = next((card.id for card in cards()), "0")
    with factory(SHARED.format(model=model, card=card)) as running:
        for alias in ("teacher", "student"):
            running.run(f"{alias}-before", questions_of(4), model=alias, samples=2, sampling=Sampling(**SAMPLING))
        started = time.monotonic()
        with borrowed(running.folder, [card], lambda: True):
            lent = time.monotonic()
            free = _free()
            work = threading.Thread(
                target=partial(running.run, "during", questions_of(8), samples=2, sampling=Sampling(**SAMPLING)),
                daemon=True,
            )
            work.start()
            subprocess.run(
                python("benchmarks.gpu_steps", "fit-sft", model, str(folder / "shared")),
                env=os.environ | environment(),
                stdout=subprocess.DEVNULL,
                check=True,
            )
            fitted = time.monotonic()
            if scalar("select coalesce(sum(traces), 0) from job_progress where job = 'during'"):
                raise StepFailed("the engines answered while the fit held the card")
        work.join(120)
        if work.is_alive():
            raise StepFailed("the engines did not continue after the fit")
    figures = {"lend_s": lent - started, "fit_s": fitted - lent, "continue_s": time.monotonic() - fitted}
    return figures | ({"gib_lent": free / GIB} if cards() else {})


SHARED = """
[local]
gpus = ["{card}"]
generate = ["teacher", "student"]
judge = ""
flower = false
[models]
teacher = {{ model = "{model}", vllm.max_model_len = 1024, vllm.adapters = false }}
student = {{ model = "{model}", vllm.max_model_len = 512 }}
"""


def _engine(model: str, folder: Path) -> Any:
    from tracemill.engines.vllm import VllmEngine

    options = {"max_model_len": 512, "kv_cache_gib": 0.5, "adapters": True}
    return VllmEngine(ModelSettings(engine="vllm", model=model, vllm=options), folder)


def _adapter(folder: Path) -> Path:
    made = folder / "sft" / "adapter"
    if not made.is_dir():
        raise StepFailed("there is no adapter: the step fit-sft did not run")
    return made


def _messages(count: int) -> list[Any]:
    return [[{"role": "user", "content": f"What is {number} + 7?"}] for number in range(count)]


def _free() -> float:
    """Free bytes of the first card; 0 without a card."""
    return float(next((card.free or 0 for card in cards()), 0))


def _memory() -> float:
    return float(next((card.memory or 0 for card in cards()), 0))


def _peak() -> float:
    """The peak memory of this process: of the card, or of the machine without a card."""
    import resource

    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


#: In this order. The adapter of `fit-sft` is used by later steps.
STEPS: dict[str, Step] = {
    "gradients": Step(gradients, 20),
    **{f"fit-{name}": Step(partial(fit, name), 20) for name in OBJECTIVES},
    "adapter": Step(adapter, 30),
    "evaluation": Step(evaluation, 30),
    "kill": Step(kill, 30),
    "sharing": Step(sharing, 90),
    "saturation": Step(saturation, 90),
}


def main() -> None:
    _, name, model, folder = sys.argv
    Path(folder).mkdir(parents=True, exist_ok=True)
    figures = STEPS[name].run(model, Path(folder))
    print("\n" + json.dumps(figures))


if __name__ == "__main__":
    main()
