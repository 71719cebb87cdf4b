"""Output tokens a second of the factory, relative to one bare vLLM call, on a real model.

The factory is complete: feeder, Redis, generate worker, Postgres, verify worker. Its settings are the defaults, except
for the processes that are not measured. The bare call is `vllm.LLM.generate` with all prompts at once, already
tokenised, and vLLM's own defaults for everything that an alias does not set. Both engines are loaded before the
measurement. They work in turn, never at the same time.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.common import main
from benchmarks.overhead import requests_seconds
from benchmarks.stack import Factory, cpu_seconds, factory, scalar
from producer.sources import Question, open_source
from tracemill.cards import cards
from tracemill.engines.plugin import OWNER
from tracemill.engines.vllm_options import engine_options
from tracemill.methods import named
from tracemill.model_settings import EMBEDDED_MODEL
from tracemill.prompts import render, token_ids
from tracemill.sampling import Sampling
from tracemill.settings import settings

#: Passes of each arm.
PAIRS = 4
SAMPLES = 4
SAMPLING: dict[str, Any] = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 64}
SETTINGS = """
[local]
generate = ["teacher"]
judge = ""
train = false
flower = false
"""
#: On a GPU both engines are on the same card.
HALF = "vllm.options = { gpu_memory_utilization = 0.45 }\n"


def measure(quick: bool, model: str = EMBEDDED_MODEL, pairs: int = PAIRS) -> dict[str, float]:
    """Medians of several passes over the same questions, bare and factory in turn."""
    questions = questions_of(32 if quick else 200)
    # vLLM would reserve a core for its front end. Both engines get all cores, and waiting threads sleep.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", ",".join(map(str, sorted(os.sched_getaffinity(0)))))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    bare, ours, whole = [], [], []
    toml = SETTINGS + f'[models.teacher]\nmodel = "{model}"\n' + (HALF if cards() else "")
    with factory(toml) as running:
        running.run("warm", questions[:8], samples=SAMPLES, sampling=Sampling(**SAMPLING))
        call = Bare(running.folder, questions)
        try:
            call.tokens_per_second(8)
            for number in range(min(pairs, 2) if quick else pairs):
                if number % 2 == 0:  # the second arm has warm caches, or a slower machine
                    bare.append(call.tokens_per_second())
                before = running.cpu() | {"this benchmark": cpu_seconds(psutil.Process())}
                requests, with_verdicts = _factory(running, questions, f"pass-{number}")
                after = running.cpu() | {"this benchmark": cpu_seconds(psutil.Process())}
                spent = {name: seconds - before[name] for name, seconds in after.items()}
                ours.append(requests)
                whole.append(with_verdicts)
                if number % 2:
                    bare.append(call.tokens_per_second())
                print(
                    f"tokens a second: {bare[-1]:.0f} bare, {requests:.0f} factory, {with_verdicts:.0f} with verdicts"
                )
                print("CPU seconds:", ", ".join(f"{name} {seconds:.1f}" for name, seconds in spent.items()))
                print("CPU seconds of the bare call:", call.spent)
        finally:
            call.close()
    return {
        "ratio": median(ours) / median(bare),
        "ratio_with_verdicts": median(whole) / median(bare),
        "bare_tokens_per_s": median(bare),
        "factory_tokens_per_s": median(ours),
    }


def questions_of(count: int) -> list[Question]:
    """Different questions."""
    rows = open_source(f"words:?size={2 * count}&seed=1", mapping={})
    different = {row.text: row for row in rows if isinstance(row, Question)}
    return list(islice(different.values(), count))


def _factory(running: Factory, questions: Sequence[Question], job: str) -> tuple[float, float]:
    """Tokens a second from the first request to the last trace, and from enqueue to the last verdict."""
    seconds = running.run(job, questions, samples=SAMPLES, sampling=Sampling(**SAMPLING))
    tokens = float(scalar("select tokens_out from job_progress where job = :job", job=job))
    return tokens / requests_seconds(job), tokens / seconds


class Bare:
    """vLLM called directly, in this process, on the prompts of the factory."""

    def __init__(self, data_dir: Path, questions: Sequence[Question]) -> None:
        os.environ[OWNER] = str(os.getpid())  # its processes end with this one
        os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
        from vllm import LLM, SamplingParams, TokensPrompt
        from vllm.platforms import current_platform

        options = engine_options(settings().models["teacher"], data_dir, on_cpu=current_platform.is_cpu())
        self.llm = LLM(**{name: value for name, value in options.items() if name != "enable_log_requests"})
        #: CPU seconds of the last call.
        self.spent = ""
        self.params = SamplingParams(n=SAMPLES, **SAMPLING)
        template = named("cot").variants("math", [])[""][0].prompt
        tokenizer = self.llm.get_tokenizer()
        self.prompts = [
            TokensPrompt(prompt_token_ids=token_ids(tokenizer, render(template, {"question": question.text})))
            for question in questions
        ]

    def tokens_per_second(self, count: int | None = None) -> float:
        """Output tokens a second of one call with all prompts, or with the first `count`."""
        start, before = time.monotonic(), self._cpu()
        outputs = self.llm.generate(self.prompts[:count], self.params, use_tqdm=False)
        seconds, after = time.monotonic() - start, self._cpu()
        self.spent = f"engine {after[0] - before[0]:.1f}, front end {after[1] - before[1]:.1f}"
        return float(sum(len(sample.token_ids) for output in outputs for sample in output.outputs) / seconds)

    def _cpu(self) -> tuple[float, float]:
        process = psutil.Process()
        return sum(map(cpu_seconds, process.children(recursive=True))), cpu_seconds(process)

    def close(self) -> None:
        """End vLLM's processes."""
        self.llm.llm_engine.engine_core.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options, sys.argv[1:] = parser.parse_known_args()
    main("saturation", partial(measure, pairs=options.pairs))
