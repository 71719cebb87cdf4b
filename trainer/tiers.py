"""The models of a round as they could be served: each tier answers the round's evaluations in its own worker.

A tier is a model (the teacher, the student with its adapter, or the student with the adapter merged in) in a format of
its weights. Its answers are an ordinary job of purpose `evaluate` with an alias of its own, so they are stored,
verified and resumed like those of any other, and `job_models` has its settings.

Only one tier's worker runs at a time, but it shares the machine with whatever else runs there.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from db.heartbeat import SILENT_SECONDS
from db.jobs import stored_job
from db.queries import Q
from db.session import transaction
from producer.enqueue import copy_questions
from tracemill.errors import TracemillError, UsageError
from tracemill.interpreter import python
from tracemill.queues import generate_queue
from tracemill.settings import model, settings
from tracemill.statistics import Interval
from tracemill.weights import resolve
from trainer.child_process import run_in_child
from trainer.evaluate import jobs_by_names, measure
from trainer.fit import model_folder, round_folder
from trainer.merge import merged_folder
from trainer.spec import RoundSpec

#: The formats of weights. bf16 are the model's own weights; vLLM converts them to fp8 when it loads them.
FORMATS = ("bf16", "int8", "fp8", "int4")
#: The aliases of tiers begin with this. The view round_answers reads no difficulty from their answers.
PREFIX = "tier."
#: Replaces itself by the command that follows, which ends with this process.
WITH_PARENT = (
    "import os, sys; from tracemill.processes import die_with_parent; die_with_parent(); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
#: Seconds between two looks at a worker and its job.
POLL_SECONDS = 0.5

#: Receives a sentence about the present step, the questions that are done, and all questions.
Report = Callable[[str, int, int], None]


class Tier(NamedTuple):
    """One model in one format."""

    #: `teacher`, `adapter` (the student's base model with the adapter beside it), or `merged`.
    model: str
    format: str

    @property
    def name(self) -> str:
        return f"{self.model}-{self.format}"


class Footprint(NamedTuple):
    """The memory of a tier, in bytes: its files of weights, and the most that all processes of its worker had."""

    weights: int
    memory: int


@dataclass(frozen=True)
class Served:
    """The measurements of one tier on one evaluation."""

    tier: str
    benchmark: str
    job: str
    questions: int
    #: The share of right answers, with its interval over questions.
    accuracy: Interval
    tokens_out: int
    #: The time in which at least one request ran.
    seconds: float
    #: Money by the prices of the alias.
    price: float
    #: None if another machine ran it.
    footprint: Footprint | None

    @property
    def tokens_per_second(self) -> float:
        """Tokens of answers per second."""
        return self.tokens_out / self.seconds if self.seconds else 0.0

    @property
    def seconds_per_right(self) -> float | None:
        """Seconds of the machine for each right answer; None without one."""
        right = self.accuracy.value * self.questions
        return self.seconds / right if right else None

    def cost_per_right(self, hourly: float) -> float | None:
        """Money for each right answer: the machine's price per hour, and prices of tokens; None without one."""
        right = self.accuracy.value * self.questions
        return (self.seconds / 3600 * hourly + self.price) / right if right else None

    def as_json(self) -> dict[str, Any]:
        """All values for machines."""
        rates = {"tokens_per_second": self.tokens_per_second, "seconds_per_right": self.seconds_per_right}
        footprint = self.footprint._asdict() if self.footprint else None
        return asdict(self) | rates | {"accuracy": self.accuracy._asdict(), "over": "questions", "footprint": footprint}


@dataclass(frozen=True)
class Round:
    """A finished round whose models are served."""

    id: int
    spec: RoundSpec
    adapter: Path
    #: Alias of the teacher.
    teacher: str
    #: The number of questions of each evaluation, from the first; None means all.
    limit: int | None = None

    @property
    def folder(self) -> Path:
        """The folder of quantised weights, logs and footprints."""
        return round_folder(settings().data_dir, self.spec.name) / "tiers"

    def tiers(self, formats: Sequence[str]) -> list[Tier]:
        """All tiers in these formats. The adapter stands beside a base model in bf16 alone."""
        sides = ["teacher", *(["adapter"] if self.spec.fit.tuning == "lora" else []), "merged"]
        return [Tier(side, form) for side in sides for form in formats if side != "adapter" or form == "bf16"]

    def alias(self, tier: Tier) -> str:
        """The model alias of a tier."""
        return f"{PREFIX}{self.spec.name}.{tier.name}"

    def job(self, tier: Tier, benchmark: str) -> str:
        """The name of a tier's evaluation job."""
        first = f"-first-{self.limit}" if self.limit else ""
        return f"{self.spec.name}/{tier.name}/{benchmark}{first}"


def serve(round_: Round, tier: Tier, report: Report) -> list[Served]:
    """Measure a tier on each evaluation of its round; what is measured already is only read.

    Raises TracemillError with the reason if the tier cannot be made or served here.
    """
    jobs = {benchmark: round_.job(tier, benchmark) for benchmark in round_.spec.evaluate.jobs}
    if any(state != "done" for state in _states(jobs.values())):
        changes = prepare(round_, tier, report)
        with worker(round_, tier, changes, report) as memory:
            for benchmark, name in jobs.items():
                _open(round_, tier, benchmark)
                _wait(name, memory, lambda done, of: report(f"{tier.name} answers", done, of))
            _store(round_, tier, Footprint(_weights(changes["model"]), memory()))
    return [_measured(round_, tier, benchmark) for benchmark in jobs]


def prepare(round_: Round, tier: Tier, report: Report) -> dict[str, Any]:
    """Make the weights of a tier unless they exist. Returns the settings of its alias."""
    spec, data_dir = round_.spec, settings().data_dir.resolve()
    if tier.model != "teacher" and not round_.adapter.exists():
        raise UsageError(f"what round {spec.name} has trained is not in {round_.adapter}")
    source = model(round_.teacher if tier.model == "teacher" else spec.student)
    if source.engine != "vllm":
        if tier.format == "bf16":
            return source.model_dump(mode="json", exclude_defaults=True)
        raise UsageError(f"a server has the weights of {round_.teacher}, so they cannot be converted here")
    weights = Path(resolve(source.model, data_dir))
    if tier.model == "merged":
        weights = model_folder(data_dir, spec) if spec.fit.tuning == "full" else merged_folder(data_dir, spec.name)
        if not weights.exists():
            report("merging the adapter", 0, 0)
            run_in_child("trainer.merge", round_.id, round_.folder / "merge.log", lambda: True)
    if tier.format in ("int8", "int4"):
        weights = _quantised(round_, tier, weights, report)
    options = source.vllm.options | ({"quantization": "fp8"} if tier.format == "fp8" else {})
    vllm = source.vllm.model_copy(update={"adapters": tier.model == "adapter", "options": options})
    changed = source.model_copy(update={"model": str(weights), "vllm": vllm})
    return changed.model_dump(mode="json", exclude_defaults=True) | {"model": str(weights)}


def _quantised(round_: Round, tier: Tier, source: Path, report: Report) -> Path:
    folder = round_.folder / tier.name
    if not folder.exists():
        report(f"converting the weights to {tier.format}", 0, 0)
        round_.folder.mkdir(parents=True, exist_ok=True)
        command = python("trainer.quantise", str(source), str(folder), tier.format)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise TracemillError(_last_line(done.stderr) or f"the conversion ended with exit code {done.returncode}")
    return folder


@contextmanager
def worker(round_: Round, tier: Tier, changes: Mapping[str, Any], report: Report) -> Iterator[Callable[[], int]]:
    """Run a generate worker of a tier's alias in the block. Yields a function that returns its largest memory so far.

    Raises TracemillError with the last line of its log if it does not start. It ends with this process.
    """
    import psutil

    alias, log = round_.alias(tier), round_.folder / f"{tier.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    aliases = json.loads(os.environ.get("TRACEMILL_MODELS", "{}")) | {alias: changes}
    own = {
        "TRACEMILL_MODELS": json.dumps(aliases),
        "TRACEMILL_DATA_DIR": str(settings().data_dir.resolve()),
    }
    command = [sys.executable, "-P", "-c", WITH_PARENT, *python("cli", "worker", "generate", "--model", alias)]
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            env=os.environ | own,
        )
    largest = 0

    def memory() -> int:
        """Look at the worker. Raises TracemillError if it has ended."""
        nonlocal largest
        if process.poll() is not None:
            raise TracemillError(f"{_last_line(log.read_text(errors='replace')) or 'its worker ended'} (log: {log})")
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        largest = max(largest, sum(map(_memory, family)))
        return largest

    try:
        report(f"{tier.name} loads", 0, 0)
        while not _serves(alias):
            memory()
            time.sleep(POLL_SECONDS)
        yield memory
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(settings().grace_seconds + 15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _memory(process: Any) -> int:
    """The memory of a process, with its part of what it shares; 0 if it has ended."""
    import psutil

    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except psutil.Error:
        return 0


def _serves(alias: str) -> bool:
    with transaction() as connection:
        values = {"queue": generate_queue(alias), "silent": SILENT_SECONDS}
        return any(row.concurrency > 0 for row in connection.execute(Q["serving"], values))


def _states(names: Any) -> list[str]:
    with transaction() as connection:
        known = jobs_by_names(connection, list(names))
    return [known[name]["state"] if name in known else "" for name in names]


def _open(round_: Round, tier: Tier, benchmark: str) -> None:
    with transaction() as connection:
        stored = stored_job(connection, benchmark)
        source = jobs_by_names(connection, [benchmark])[benchmark]
        assert stored is not None
        changed = replace(
            stored,
            name=round_.job(tier, benchmark),
            model=round_.alias(tier),
            round_id=round_.id if tier.model == "adapter" else None,
            from_job_id=None,
            negative=False,
            budget=None,
            budget_unit=None,
        )
        copy_questions(connection, changed, source["id"], limit=round_.limit)


def _wait(name: str, look: Callable[[], int], report: Callable[[int, int], None]) -> None:
    """Return when the job is done. Raises TracemillError if it was cancelled, or if its worker ends."""
    while True:
        with transaction() as connection:
            row = connection.execute(Q["tier_progress"], {"job": name}).one()
        report(row.done, row.questions)
        if row.state == "done":
            return
        if row.state == "cancelled":
            raise TracemillError(f"job {name} was cancelled")
        look()
        time.sleep(POLL_SECONDS)


def _measured(round_: Round, tier: Tier, benchmark: str) -> Served:
    name = round_.job(tier, benchmark)
    with transaction() as connection:
        job = jobs_by_names(connection, [name])[name]
        failed = connection.execute(Q["failed_questions"], {"job_id": job["id"]}).one().failed
        if failed and not job["leaves_out_failed"]:
            raise TracemillError(f"{failed} questions of job {name} failed. Retry them: tracemill jobs retry {name}")
        measured = measure(connection, job)
        cost = connection.execute(Q["tier_cost"], {"job_id": job["id"]}).one()
    return Served(
        tier=tier.name,
        benchmark=benchmark,
        job=name,
        questions=measured["questions"],
        accuracy=Interval(measured["accuracy"], measured["low"], measured["high"]),
        tokens_out=int(cost.tokens_out),
        seconds=float(cost.seconds),
        price=float(cost.cost),
        footprint=_footprint(round_, tier),
    )


def _footprint_file(round_: Round, tier: Tier) -> Path:
    return round_.folder / f"{tier.name}.json"


def _store(round_: Round, tier: Tier, footprint: Footprint) -> None:
    _footprint_file(round_, tier).write_text(json.dumps(footprint._asdict()))


def _footprint(round_: Round, tier: Tier) -> Footprint | None:
    file = _footprint_file(round_, tier)
    return Footprint(**json.loads(file.read_text())) if file.exists() else None


def _weights(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).glob("*.safetensors"))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
