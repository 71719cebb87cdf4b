"""`tracemill loop STAR.toml`: the student teaches itself, round after round.

Everything that was done is in the tables under names made of the loop's: running the command again goes on from there.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import text

from cli.dry_run import show_plan
from cli.enqueue import reading_bar
from cli.jobs import follow as follow_jobs
from cli.output import Json, console, print_json, print_rows, progress_console
from cli.train import Changes, follow
from db.queries import Q
from db.session import transaction
from producer.opening import job_spec, open_request
from tracemill.statistics import share
from trainer.loop import LoopSpec, ended, load, round_of


def register(app: typer.Typer) -> None:
    app.command(help=LOOP, rich_help_panel="Training")(loop)


LOOP = """Let a student teach itself (STaR): attempt, keep what is right, rationalise the rest, train, and again.

Running it again goes on where it was. Example: tracemill loop star.toml"""


def loop(
    file: Annotated[Path, typer.Argument(help="The loop's STAR.toml.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would ask first, and do nothing.")] = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    from trainer.queue import check_student

    spec = load(file, changes or ())
    first = round_of(spec, 1, ["none"])
    check_student(first)  # before anything is paid for
    if dry_run:
        shots = spec.attempt.shots(file.parent)
        attempt = spec.attempt.request(f"{spec.name}-1-attempt", spec.student, shots=shots)
        show_plan([job_spec(attempt)], first.evaluate, json)
        return
    rounds: list[dict[str, Any]] = []
    why = None
    for found in teach_itself(spec, file.parent):
        rounds.append(found)
        progress_console.print(f"{found['round']}: {_percent(found['after'])} right", markup=False)
        why = ended(spec, found["before"]["value"], [each["after"]["value"] for each in rounds])
        if why:
            break
    if json:
        print_json({"loop": spec.name, "rounds": rounds, "ended": why})
        return
    shown = [
        {"round": "before", "right %": _percent(rounds[0]["before"])},
        *({**each, "right %": _percent(each["after"])} for each in rounds),
    ]
    print_rows([dict.fromkeys(COLUMNS) | row for row in shown], COLUMNS)
    console.print(f"Ended: {why}.", markup=False)


COLUMNS = ("round", "right %", "examples", "of them rationalised", "questions with one")


def teach_itself(spec: LoopSpec, folder: Path) -> Iterator[dict[str, Any]]:
    """What each finished round measured, without end. `folder`: where the file of examples is."""
    from trainer.benchmarks import open_benchmarks
    from trainer.queue import queue_round

    jobs: list[str] = []
    for number in count(1):
        jobs += _attempt(spec, number, folder)
        learnt = open_benchmarks(round_of(spec, number, jobs))
        queue_round(learnt)
        follow(learnt.name)
        yield _measured(learnt.name)


def _attempt(spec: LoopSpec, number: int, folder: Path) -> list[str]:
    """Ask the model of the round before everything, and again with a hint where it failed; the names of the jobs."""
    name = f"{spec.name}-{number}-attempt"
    model = _round_id(f"{spec.name}-{number - 1}") if number > 1 else None
    shots = spec.attempt.shots(folder)
    asked = spec.attempt.request(name, spec.student, shots=shots if model is None else ())
    open_request(replace(asked, round_id=model), reading_bar)
    follow_jobs([name])
    if spec.rationalize is None:
        return [name]
    again = f"{spec.name}-{number}-rationalize"
    failed = {"source": f"job:{name}?failed", "limit": 0}
    hinted = spec.attempt.model_copy(update=spec.rationalize.model_dump() | failed)
    # A hint is nothing that the student is trained to be given: the form of the answer is shown in every round.
    request = hinted.request(again, spec.student, "rationalize", shots)
    if not open_request(replace(request, round_id=model), reading_bar).read:
        return [name]
    follow_jobs([again])
    return [name, again]


def _round_id(name: str) -> int:
    with transaction() as connection:
        return int(connection.execute(Q["round_by_name"], {"name": name}).mappings().one()["id"])


def _measured(name: str) -> dict[str, Any]:
    """A finished round's share of right answers over all its evaluations, and what it learnt from."""
    with transaction() as connection:
        counts = connection.execute(COUNTS, {"name": name}).mappings().all()
        learnt = connection.execute(LEARNT, {"name": name}).mappings().one()
    right = {row["stage"]: share(int(row["correct"]), int(row["questions"]))._asdict() for row in counts}
    return {"round": name, **right, **learnt}


COUNTS = text(
    "select e.stage, sum(e.correct) as correct, sum(e.questions) as questions "
    "from evaluations e join rounds r on r.id = e.round_id where r.name = :name group by 1"
)
LEARNT = text(
    "select count(*) as examples, count(*) filter (where method = 'rationalize') as \"of them rationalised\", "
    'count(distinct question_id) as "questions with one" '
    "from (select distinct trace_id, method, question_id from round_lineage where round = :name) l"
)


def _percent(found: dict[str, float]) -> str:
    return f"{100 * found['value']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"
