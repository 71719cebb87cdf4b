"""`tracemill loop STAR.toml`: the student teaches itself, round after round. The trainers do the work."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.dry_run import show_plan
from cli.enqueue import reading_bar
from cli.interruption import explained_interrupt, this_command
from cli.jobs import job_named
from cli.output import Json, console, print_json, print_line, print_rows, progress_console
from cli.preflight import require_local_student
from cli.train import Changes
from db.diagnosis import why_idle, why_not_trained
from db.session import transaction
from tracemill.errors import TracemillError
from trainer.compare import percent
from trainer.loop import load, round_of
from trainer.loops import Loop, RoundResult, first_attempt, loop_named, open_loop, results

#: Seconds between two queries for the loop's state.
POLL_SECONDS = 0.5


def register(app: typer.Typer) -> None:
    app.command(help=LOOP, rich_help_panel="Training")(loop)


LOOP = """Train a student on its own right answers (STaR): attempt, rationalise failures, train, repeat.

With an objective that learns from the student's own words (on_policy, gold, self_distill, grpo), each round samples and
scores the attempts, and continues to train the adapter of the round before.

The trainers run the loop; closing the terminal does not stop it. Running the command again follows the loop. It also
continues a stopped or failed loop. `tracemill loops` lists, shows and stops loops.

Example: tracemill loop star.toml"""


def loop(
    file: Annotated[Path, typer.Argument(help="The loop's STAR.toml.")],
    wait: Annotated[bool, typer.Option(help="Follow the loop to its end.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the first job; store nothing.")] = False,
    changes: Changes = None,
    json: Json = False,
) -> None:
    from producer.opening import job_spec
    from trainer.submit import check_student

    spec = load(file, changes or ())
    require_local_student(spec.student)
    if dry_run:
        first = round_of(spec, 1, ["none"])
        check_student(first)
        attempt = job_spec(first_attempt(spec, spec.attempt.shots(file.parent)))
        show_plan([attempt], spec.evaluate, json, spec.dev)
        return
    again = this_command(without="--no-wait")
    with explained_interrupt(f"loop {spec.name} is not open yet. To open it: {again}"):
        opened = open_loop(spec, file.parent, reading_bar)
    if wait:
        with explained_interrupt(
            f"loop {spec.name} continues without this terminal. Follow it again: {again}.",
            f"Stop it: tracemill loops stop {spec.name}",
        ):
            opened = _follow(opened)
    if opened.state == "failed":
        raise TracemillError(f"loop {spec.name} failed: {opened.error}. To try again: {again}")
    if wait and opened.state == "stopped":
        raise TracemillError(f"loop {spec.name} was stopped. To continue it: {again}")
    if json:
        print_json(as_json(opened))
    elif wait:
        print_loop(opened)
    else:
        print_line(f"loop {spec.name} is open. Follow it: {again}")


def _follow(opened: Loop) -> Loop:
    """Print the loop's activity and each round's result on stderr until it ends, fails or is stopped."""
    n_printed, last_line = 0, ""
    while True:
        opened = loop_named(opened.name)
        with transaction() as connection:
            rounds = results(connection, opened)
        for row in rounds[n_printed:]:
            progress_console.print(f"{row.round}: {percent(row.after)} right", markup=False)
        n_printed = len(rounds)
        if opened.state != "running":
            return opened
        line = _activity(opened)
        if line != last_line:
            last_line = line
            progress_console.print(line, markup=False, soft_wrap=True)
        time.sleep(POLL_SECONDS)


def _activity(opened: Loop) -> str:
    """Describe the awaited job or round and the missing processes."""
    progress = f"{opened.name}: round {opened.round} of at most {opened.spec.rounds}, {opened.step}"
    problems = why_not_trained()
    if opened.step != "train":
        problems = [*why_idle([job_named(opened.awaits)]), *problems]
    return "; ".join([f"{progress}, waits for {opened.awaits}", *problems])


def as_json(loop: Loop) -> dict[str, Any]:
    """Build the JSON output of one loop."""
    with transaction() as connection:
        rounds = results(connection, loop)
    return {
        "loop": loop.name,
        "state": loop.state,
        "round": loop.round,
        "step": loop.step,
        "awaits": loop.awaits,
        "rounds": [_round_json(row) for row in rounds],
        "ended": loop.ended,
        "error": loop.error,
        "created_at": loop.created_at,
        "finished_at": loop.finished_at,
    }


def _round_json(row: RoundResult) -> dict[str, Any]:
    dev = None
    if row.dev_before is not None and row.dev_after is not None:
        dev = {"before": row.dev_before._asdict(), "after": row.dev_after._asdict()}
    return {
        "round": row.round,
        "before": row.before._asdict(),
        "after": row.after._asdict(),
        "dev": dev,
        "examples": row.examples,
        "rationalised": row.rationalised,
        "questions": row.questions,
    }


def print_loop(loop: Loop) -> None:
    """Print the results, one row per round, and the reason for the end."""
    with transaction() as connection:
        rounds = results(connection, loop)
    columns = ["round", "right %", *(["dev %"] if loop.spec.dev is not None else []), "examples", "with hint"]
    before = [("before", row.before, row.dev_before, "", "") for row in rounds[:1]]
    after = [(row.round, row.after, row.dev_after, row.examples, row.rationalised) for row in rounds]
    if rounds:
        print_rows(
            [
                {
                    "round": name,
                    "right %": percent(right),
                    "dev %": percent(dev) if dev is not None else "",
                    "examples": examples,
                    "with hint": hinted,
                }
                for name, right, dev, examples, hinted in (*before, *after)
            ],
            columns,
            title="right answers with 95 % intervals over questions",
        )
    if loop.ended:
        console.print(f"Ended: {loop.ended}.", markup=False)
