"""The reasons why nothing moves: one sentence each, from the heartbeats, the jobs and the local stack.

`tracemill status`, `health`, `jobs list` and `jobs watch` all show these sentences. A process that loads its model is
never called missing.
"""

import math
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from db.heartbeat import SILENT_SECONDS, program_and_pid
from db.queries import Q
from db.session import transaction
from tracemill import stack
from tracemill.errors import TracemillError
from tracemill.lending import LENDING
from tracemill.queues import TRAIN_QUEUE, generate_queue, verify_queue
from tracemill.settings import settings
from tracemill.stack import ProcessStatus
from tracemill.stack.programs import kind_of, program_for

#: Seconds after which a supervised process without a heartbeat no longer counts as starting.
START_SECONDS = 60.0
#: The programs of the local stack that send heartbeats.
WITH_HEARTBEAT = {"producer", "generate", "verify", "train"}
#: Number of job names in one sentence.
MAX_NAMES = 3


@dataclass(frozen=True)
class Reason:
    """One reason why a job makes no progress."""

    text: str
    #: False for a job that is paused, and for a process that starts or loads its model.
    is_fault: bool = True


def process_trouble(row: Row[Any]) -> str | None:
    """The problem of a process with a heartbeat (a row of `processes`); None if it works."""
    if row.silent_seconds > SILENT_SECONDS:
        return f"no heartbeat for {row.silent_seconds:.0f} s"
    if is_lending(row):
        return LENDING
    if is_loading(row):
        return f"{'loading the model' if row.kind == 'generate' else 'starting'} ({row.up_seconds:.0f} s)"
    trouble: str | None = row.trouble
    return trouble


def is_loading(row: Row[Any]) -> bool:
    """Whether a worker takes no task yet: it loads its model, starts, or lends its GPU."""
    return bool(row.queues) and row.concurrency == 0


def is_lending(row: Row[Any]) -> bool:
    """Whether a worker takes no task until a fit gives its GPU back."""
    return is_loading(row) and row.trouble == LENDING


def programs() -> list[ProcessStatus]:
    """The programs of the local stack. The heartbeats give the states STARTING, LOADING, LENDING and further problems.

    A program in a crash loop has the state CRASHING. Without Postgres, only the supervisor's report counts.
    """
    beats = None
    with suppress(SQLAlchemyError, TracemillError):
        beats = {program_and_pid(row.name): row for row in _heartbeats(socket.gethostname())}
    reports = []
    for program in stack.status(settings().data_dir):
        row = (beats or {}).get(f"{program.name}.{program.pid}")
        state, trouble = program.state, program.failure
        if trouble is not None and program.pid is not None:
            state = "CRASHING"
        elif row is not None and (trouble := process_trouble(row)) and is_loading(row):
            state = "LENDING" if is_lending(row) else "LOADING"
        elif row is None and beats is not None and state == "RUNNING" and kind_of(program.name) in WITH_HEARTBEAT:
            state = "STARTING"
        reports.append(replace(program, state=state, failure=trouble))
    return reports


def youngest_seconds(reports: Iterable[ProcessStatus]) -> float | None:
    """The time for which the youngest program has worked or loaded; None if one has sent no heartbeat."""
    beats = {program_and_pid(row.name): row.up_seconds for row in _heartbeats(socket.gethostname())}
    ages = [beats.get(f"{report.name}.{report.pid}") for report in reports if kind_of(report.name) in WITH_HEARTBEAT]
    known = [age for age in ages if age is not None]
    return min(known, default=math.inf) if len(known) == len(ages) else None


def job_reasons(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Reason]]:
    """The reasons why each job of `rows` (of the view job_progress) makes no progress, by its name."""
    jobs = list(rows)
    with transaction() as connection:
        pauses = {row.alias: row.reason for row in connection.execute(Q["model_pauses"])}
    factory = _Factory(_heartbeats(None), pauses)
    with transaction() as connection:
        waiting = connection.execute(Q["waiting_errors"], {"jobs": [job["job"] for job in jobs]}).all()
    return {job["job"]: factory.reasons(job, [row for row in waiting if row.job == job["job"]]) for job in jobs}


def sentences(reasons: Mapping[str, Sequence[Reason]]) -> list[str]:
    """One line for each reason, with the names of its jobs."""
    jobs: dict[str, list[str]] = {}
    for job, its_reasons in reasons.items():
        for reason in its_reasons:
            jobs.setdefault(reason.text, []).append(job)
    return [f"{_names(names)}: {text}" for text, names in jobs.items()]


def why_idle(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The lines that tell people why jobs make no progress."""
    return sentences(job_reasons(rows))


def why_not_trained() -> list[str]:
    """A sentence if no process trains."""
    reason = _Factory(_heartbeats(None)).queue_reason(TRAIN_QUEUE, "no process trains: tracemill worker train")
    return [reason.text] if reason else []


class _Factory:
    """The live processes, and the local stack for those that are missing."""

    def __init__(self, heartbeats: Sequence[Row[Any]], pauses: Mapping[str, str] = MappingProxyType({})) -> None:
        """`pauses`: the reason by paused alias."""
        self.alive = [row for row in heartbeats if row.silent_seconds <= SILENT_SECONDS]
        self._pauses = pauses
        self._programs: dict[str, ProcessStatus] | None = None

    def reasons(self, job: Mapping[str, Any], waiting: Sequence[Row[Any]]) -> list[Reason]:
        """The reasons of one job. `waiting`: its rows of `waiting_errors`."""
        name, state = job["job"], job["state"]
        if state == "paused":
            return [Reason(f"paused. Continue: tracemill jobs resume {name}", is_fault=False)]
        if state == "over_budget":
            return [Reason(f"over its budget. Raise it: tracemill jobs resume {name} --budget-{job['budget_unit']} N")]
        if state not in ("filling", "running"):
            return []
        reasons: list[Reason | None] = []
        if job["pending"] or job["queued"] or job["running"]:
            model = job["model"]
            absent = f"no worker serves {model}: tracemill worker generate --model {model}"
            reasons += [
                self._pause_reason(model)
                or self.queue_reason(generate_queue(model), absent)
                or _error(waiting, has_traces=False)
            ]
        if job["generated"]:
            judge = waiting[0].judge
            reasons += [self._pause_reason(judge) or self._verify_reason(judge) or _error(waiting, has_traces=True)]
        if not any(row.leads for row in self.alive):
            absent = "no process hands out questions: tracemill producer"
            reasons += [self._program_reason("producer") or Reason(absent)]
        return [reason for reason in reasons if reason is not None]

    def _pause_reason(self, alias: str | None) -> Reason | None:
        reason = self._pauses.get(alias or "")
        return Reason(f"{alias} is paused, with one try a minute: {reason}") if reason else None

    def _verify_reason(self, judge: str | None) -> Reason | None:
        if judge is None:
            return self.queue_reason(verify_queue(None), "no process verifies: tracemill worker verify")
        absent = f"no process judges with {judge}: tracemill worker verify --judge {judge}"
        return self.queue_reason(verify_queue(judge), absent)

    def queue_reason(self, queue: str, absent: str) -> Reason | None:
        """Why no worker takes the tasks of a queue; None if one does. `absent`: the sentence without a worker."""
        workers = [row for row in self.alive if queue in row.queues]
        troubles = [process_trouble(row) for row in workers]
        if any(trouble is None for trouble in troubles):
            return None
        for row, trouble in zip(workers, troubles, strict=True):
            if not is_loading(row):
                return Reason(f"{trouble}")
        if workers:
            return Reason(f"{workers[0].kind} is {troubles[0]}", is_fault=False)
        program = program_for(queue)
        return (self._program_reason(program) if program else None) or Reason(absent)

    def _program_reason(self, kind: str) -> Reason | None:
        """Why no program of a kind in the local stack works yet; None without such a program."""
        if self._programs is None:
            self._programs = {program.name: program for program in stack.status(settings().data_dir)}
        of_kind = [program for program in self._programs.values() if kind_of(program.name) == kind]
        if not of_kind:
            return None
        program = max(of_kind, key=lambda each: (each.pid is not None, each.failure is None))
        if program.failure:
            return Reason(f"{program.name}: {program.failure}")
        if program.pid is None:
            return Reason(f"{program.name} is stopped: tracemill up")
        uptime = program.uptime or 0.0
        if uptime >= START_SECONDS:
            return None
        return Reason(f"{program.name} is starting ({uptime:.0f} s)", is_fault=False)


def _error(waiting: Sequence[Row[Any]], *, has_traces: bool) -> Reason | None:
    for row in waiting:
        if row.error and row.has_traces == has_traces:
            wait = "for verdicts" if has_traces else "for traces"
            plural = "question waits" if row.questions == 1 else "questions wait"
            return Reason(f"{row.questions} {plural} {wait}: {row.error}")
    return None


def _names(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _heartbeats(host: str | None) -> Sequence[Row[Any]]:
    with transaction() as connection:
        return connection.execute(Q["processes"], {"host": host}).all()
