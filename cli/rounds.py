"""`tracemill rounds`: list, show, compare and cancel training rounds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from sqlalchemy import text

from cli.output import Json, print_facts, print_json, print_line, print_rows
from db.queries import Q
from db.session import reader, transaction
from tracemill.errors import UsageError, unknown_name
from tracemill.statistics import Interval
from trainer.compare import Compared, Side, p_value, percent, points, verdict
from trainer.compare import compare as compare_sides
from trainer.spec import parse
from trainer.submit import cancel_round

rounds = typer.Typer(help="Rounds: list, show, compare, cancel.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The round's name.")]
COMPARE = """Compare two rounds on the same questions: difference, 95 % interval and paired test.

Example: tracemill rounds compare round-1-control round-1"""

CANCEL = """Cancel a round: its training ends, and so do the evaluation jobs of its model.

Stored traces and a finished adapter are kept. `tracemill train ROUND.toml` continues the round.

Example: tracemill rounds cancel round-1"""

COLUMNS = ("name", "state", "created_at", "finished_at", "adapter_path", "error")
#: Accuracies by the number of samples.
BY_SAMPLES = ("pass_at", "majority_at")
#: Measures of an evaluation beside its accuracy.
MEASURES = ("left out", *BY_SAMPLES, "steps", "faithfulness", "coherence", "tokens_out")


def register(app: typer.Typer) -> None:
    app.add_typer(rounds, name="rounds", rich_help_panel="Training")


@rounds.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@rounds.command("list", help="List all rounds. Example: tracemill rounds list --json")
def list_(json: Json = False) -> None:
    with transaction() as connection:
        rows = [dict(row) for row in connection.execute(text("select * from rounds order by id")).mappings()]
    if json:
        print_json(rows)
    else:
        print_rows(rows, COLUMNS)


@rounds.command(
    "show", help="Show the training data and the evaluations of one round. Example: tracemill rounds show round-1"
)
def show(name: Name, json: Json = False) -> None:
    stored = round_named(name)
    if json:
        print_json(stored | {"before_after": [c.as_json() for c in _before_after(name)]})
        return
    facts = {key: value for key, value in stored.items() if key not in ("evaluations", "spec")}
    print_facts(facts | {"metrics": {key: value for key, value in stored["metrics"].items() if key != "loss"}})
    print_evaluations(stored["evaluations"])
    _print_verdicts(_before_after(name))


def print_evaluations(evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Print one row an evaluation, with the measures that at least one of them has."""
    rows = [_evaluation_row(evaluation) for evaluation in evaluations]
    measures = [name for name in MEASURES if any(row[name] not in (None, "") for row in rows)]
    if rows:
        print_rows(rows, ("benchmark", "stage", "questions", "right %", "in requested form", *measures))


@rounds.command(help=COMPARE)
def compare(
    first: Annotated[str, typer.Argument(help="A round.")],
    second: Annotated[str, typer.Argument(help="Another round, measured on the same questions.")],
    json: Json = False,
) -> None:
    rounds = {name: round_named(name) for name in (first, second)}
    with reader() as connection:
        compared = compare_sides(connection, Side(first), Side(second))
    if not compared:
        measured = "; ".join(f"{name}: {_benchmarks(round_)}" for name, round_ in rounds.items())
        raise UsageError(f"rounds {first} and {second} have no evaluation in common ({measured})")
    differing = list(_differing(_settings(rounds[first]), _settings(rounds[second])))
    if json:
        print_json(
            {"first": first, "second": second, "settings": differing, "benchmarks": [c.as_json() for c in compared]}
        )
        return
    if differing:
        print_rows([{"": d["key"], first: d["first"], second: d["second"]} for d in differing], ("", first, second))
    print_compared(compared, first, second)


@rounds.command(help=CANCEL)
def cancel(name: Name, json: Json = False) -> None:
    state = round_named(name)["state"]
    jobs = cancel_round(name)
    if jobs is None:
        raise UsageError(f"round {name} is {state}: only a round that has not ended can be cancelled")
    if json:
        print_json({"round": name, "cancelled_jobs": jobs})
        return
    also = f" with its evaluation {', '.join(jobs)}" if jobs else ""
    print_line(f"round {name} is cancelled{also}. To continue it: tracemill train ROUND.toml")


def _benchmarks(stored: Mapping[str, Any]) -> str:
    return ", ".join(sorted({row["benchmark"] for row in stored["evaluations"]})) or "not evaluated"


def print_compared(compared: Sequence[Compared], first: str, second: str) -> None:
    """Print one row a benchmark, and a sentence with its result."""
    rows = [
        {
            "benchmark": c.benchmark,
            "questions": c.questions,
            f"{first} %": percent(c.first),
            f"{second} %": percent(c.second),
            "points": points(c.difference),
            "McNemar": p_value(c.p),
            f"only {first} right": c.table.first,
            f"only {second} right": c.table.second,
        }
        for c in compared
    ]
    print_rows(rows, rows[0], title=f"right answers of {second} against {first}, with 95 % intervals")
    _print_verdicts(compared)


def _print_verdicts(compared: Sequence[Compared]) -> None:
    for c in compared:
        print_line(f"{c.benchmark}: {verdict(c)}")


def _before_after(name: str) -> list[Compared]:
    with reader() as connection:
        return compare_sides(connection, Side(name, "before"), Side(name, "after"))


def _evaluation_row(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = Interval(evaluation["accuracy"], evaluation["low"], evaluation["high"])
    by_samples = {
        name: " ".join(f"@{k} {100 * value:.1f}" for k, value in evaluation[name].items()) for name in BY_SAMPLES
    }
    by_samples["left out"] = str(evaluation.get("left_out") or "")
    return {**evaluation, **by_samples, "right %": percent(accuracy), "in requested form": evaluation["correct_strict"]}


def _settings(round_row: Mapping[str, Any]) -> dict[str, Any]:
    """A round's spec as this release writes it, whichever release stored it."""
    return parse(round_row["spec"], f"round '{round_row['name']}'").model_dump(mode="json")


def _differing(first: Mapping[str, Any], second: Mapping[str, Any], under: str = "") -> Iterator[dict[str, Any]]:
    """Yield the settings in which two rounds differ, each as {key, first, second}."""
    for key in dict.fromkeys((*first, *second)):
        old, new = first.get(key), second.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differing(old, new, f"{under}{key}.")
        elif old != new and f"{under}{key}" != "name":
            yield {"key": f"{under}{key}", "first": old, "second": new}


def round_named(name: str) -> dict[str, Any]:
    """Return the round of that name with its evaluations. Raises UsageError, which names known rounds."""
    with transaction() as connection:
        stored = connection.execute(Q["round_by_name"], {"name": name}).mappings().one_or_none()
        if stored is None:
            raise unknown_name(
                "round", name, connection.execute(text("select name from rounds order by id")).scalars().all()
            )
        evaluations = connection.execute(Q["round_evaluations"], {"round_id": stored["id"]}).mappings()
        return dict(stored) | {"evaluations": [dict(row) for row in evaluations]}
