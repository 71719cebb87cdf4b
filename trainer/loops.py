"""Loops in Postgres: open, stop, continue and read them with the results of their rounds.

The trainers advance an open loop (`trainer.loop_service`).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, RowMapping

from db.queries import Q
from db.session import transaction
from producer.job_request import JobRequest
from producer.opening import Reading, job_spec, open_request, unseen
from tracemill.errors import UsageError, unknown_name
from tracemill.methods import Shot
from tracemill.statistics import Interval, share
from trainer.benchmarks import open_measured, require_other_questions, with_jobs
from trainer.evaluate import jobs_by_names
from trainer.loop import LoopSpec, attempt_name, rationalize_name, round_name, round_of, score_name
from trainer.spec import parse
from trainer.submit import check_start, check_student, difference, evaluation_prompt, queue_round


@dataclass(frozen=True)
class Loop:
    """One row of `loops`."""

    id: int
    name: str
    state: Literal["running", "stopped", "failed", "done"]
    step: Literal["attempt", "rationalize", "score", "train"]
    #: From 1.
    round: int
    #: The job that the loop waits for; in the step `train` the round.
    awaits: str
    spec: LoopSpec
    shots: tuple[Shot, ...]
    ended: str | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class RoundResult:
    """The measurements of one finished round of a loop, and the size of its training set."""

    round: str
    #: Shares of right answers on the reported set, and on the dev set if there is one.
    before: Interval
    after: Interval
    dev_before: Interval | None
    dev_after: Interval | None
    examples: int
    #: Examples that were written with a hint.
    rationalised: int
    #: Questions with an example.
    questions: int


def loop_of(row: RowMapping) -> Loop:
    """Parse a row of `loops`."""
    columns = {name: row[name] for name in Loop.__dataclass_fields__ if name not in ("spec", "shots")}
    shots = tuple(Shot(**shot) for shot in row["shots"])
    return Loop(spec=LoopSpec.model_validate(row["spec"]), shots=shots, **columns)


def all_loops() -> list[Loop]:
    """Every loop, the oldest first."""
    with transaction() as connection:
        return [loop_of(row) for row in connection.execute(Q["all_loops"]).mappings()]


def find_loop(name: str) -> Loop | None:
    """Read the loop of that name; None if there is none."""
    with transaction() as connection:
        row = connection.execute(Q["loop_by_name"], {"name": name}).mappings().one_or_none()
    return None if row is None else loop_of(row)


def loop_named(name: str) -> Loop:
    """Read the loop of that name. Raises UsageError, which names known loops."""
    loop = find_loop(name)
    if loop is None:
        raise unknown_name("loop", name, [each.name for each in all_loops()])
    return loop


def first_attempt(spec: LoopSpec, shots: Sequence[Shot]) -> JobRequest:
    """Build the first job: it asks the base model all questions, after the worked examples.

    Own samples are asked as the evaluation is, at temperature 1, by the model of `start`. Their tokens are stored.
    """
    name = attempt_name(spec.name, 1)
    if spec.own is None:
        return spec.attempt.request(name, spec.student, shots=shots)
    with transaction() as connection:
        start = check_start(connection, round_of(spec, 1, ["none"]))
    ask = spec.attempt.model_copy(update={"temperature": 1.0, "top_p": spec.attempt.top_p or 1.0})
    return replace(ask.request(name, spec.student), purpose="round", logprobs=1, round_id=start)


def open_loop(spec: LoopSpec, folder: Path, reading: Reading = unseen) -> Loop:
    """Open the loop with its first attempt, or find it. A stopped or failed loop continues.

    `folder` contains the file of examples. Raises UsageError for a wrong loop, before any question is asked.
    """
    check_student(round_of(spec, 1, ["none"]))
    shots = spec.attempt.shots(folder)
    spec = spec.model_copy(
        update={
            "evaluate": with_jobs(spec.evaluate, spec.student),
            "dev": with_jobs(spec.dev, spec.student) if spec.dev is not None else None,
        }
    )
    known = find_loop(spec.name)
    if known is None:
        job_spec(first_attempt(spec, shots))  # raises before the questions of the evaluations are stored
        for evaluation in (spec.evaluate, spec.dev):
            if evaluation is not None:
                open_measured(evaluation, spec.student, reading)
        _check_sets(spec)
        open_request(first_attempt(spec, shots), reading)
        _insert(spec, shots)
    else:
        _require_same(known, spec, shots)
        _continue(known)
    return loop_named(spec.name)


def _check_sets(spec: LoopSpec) -> None:
    with transaction() as connection:
        evaluation_prompt(connection, round_of(spec, 1, ["none"]))
        if spec.dev is not None:
            require_other_questions(connection, spec.dev.jobs, spec.evaluate.jobs)


def _insert(spec: LoopSpec, shots: Sequence[Shot]) -> None:
    row = {
        "name": spec.name,
        "awaits": attempt_name(spec.name, 1),
        "spec": spec.model_dump_json(),
        "shots": json.dumps([asdict(shot) for shot in shots]),
    }
    with transaction() as connection:
        connection.execute(Q["insert_loop"], row)


def _require_same(known: Loop, spec: LoopSpec, shots: Sequence[Shot]) -> None:
    differs = difference(known.spec.model_dump(mode="json"), spec.model_dump(mode="json"))
    if not differs and known.shots != tuple(shots):
        differs = "file of examples (attempt.examples)"
    if differs:
        raise UsageError(f"loop '{spec.name}' exists with other settings ({differs}). Give this loop another name.")


def _continue(loop: Loop) -> None:
    with transaction() as connection:
        stuck = connection.execute(Q["round_by_name"], {"name": loop.awaits}).mappings().one_or_none()
    if loop.state == "failed" and loop.step == "train" and stuck is not None:
        queue_round(parse(stuck["spec"], f"round '{loop.awaits}'"))
    with transaction() as connection:
        connection.execute(Q["continue_loop"], {"name": loop.name})


def stop_loop(name: str) -> Loop:
    """Stop a loop: it opens no more jobs or rounds. Raises UsageError when it does not run.

    The job or round that it waits for continues.
    """
    loop = loop_named(name)
    with transaction() as connection:
        stopped = connection.execute(Q["stop_loop"], {"name": name}).rowcount
    if not stopped:
        raise UsageError(f"loop {name} is {loop_named(name).state}: only a running loop can be stopped")
    return loop_named(loop.name)


def jobs_of(connection: Connection, loop: Loop) -> list[str]:
    """List the jobs that a round learns from: all so far, or with own samples those of this round that are scored."""
    if loop.spec.own is not None:
        name = score_name if loop.spec.scorer is not None else attempt_name
        return [name(loop.name, loop.round)]
    names = [
        name(loop.name, number) for number in range(1, loop.round + 1) for name in (attempt_name, rationalize_name)
    ]
    return list(jobs_by_names(connection, names))


def results(connection: Connection, loop: Loop) -> list[RoundResult]:
    """Read the results of the loop's finished rounds, in order."""
    names = {
        "rounds": [round_name(loop.name, number) for number in range(1, loop.round + 1)],
        "reported": loop.spec.evaluate.jobs,
        "dev": loop.spec.dev.jobs if loop.spec.dev is not None else [],
    }
    rows = connection.execute(Q["loop_rounds"], names).mappings()
    return [_result(row, has_dev=loop.spec.dev is not None) for row in rows]


def _result(row: RowMapping, *, has_dev: bool) -> RoundResult:
    def right(stage: str) -> Interval:
        return share(row[f"{stage}_right"], row[f"{stage}_questions"])

    return RoundResult(
        round=row["round"],
        before=right("before"),
        after=right("after"),
        dev_before=right("dev_before") if has_dev else None,
        dev_after=right("dev_after") if has_dev else None,
        examples=row["examples"],
        rationalised=row["rationalised"],
        questions=row["questions"],
    )


def dev_shares(rounds: Sequence[RoundResult]) -> tuple[float, ...]:
    """Shares of right answers on the dev set, first of the base model, then of each round.

    Empty without a dev set.
    """
    before = [row.dev_before.value for row in rounds[:1] if row.dev_before is not None]
    return (*before, *(row.dev_after.value for row in rounds if row.dev_after is not None))
