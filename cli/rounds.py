"""`tracemill rounds`: what was trained, what it measured, and which of two rounds is better."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from sqlalchemy import text

from cli.output import Json, console, print_json, print_rows
from db.queries import Q
from db.session import transaction
from tracemill.errors import UsageError
from tracemill.statistics import Interval
from trainer.compare import Compared, Side, p_value, percent, points, verdict
from trainer.compare import compare as compare_sides
from trainer.spec import parse

rounds = typer.Typer(help="Rounds: list, show, compare.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The round's name.")]
COMPARE = """Which of two rounds is better: on the same questions, with an interval and a paired test.

Example: tracemill rounds compare round-1-control round-1"""

#: Of an evaluation, beside its accuracy.
MEASURES = ("pass_at", "majority_at", "steps", "faithfulness", "coherence", "tokens_out")


def register(app: typer.Typer) -> None:
    app.add_typer(rounds, name="rounds", rich_help_panel="Training")


@rounds.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@rounds.command("list", help="All rounds with what they measured. Example: tracemill rounds list --json")
def list_(json: Json = False) -> None:
    with transaction() as connection:
        rows = [dict(row) for row in connection.execute(text("select * from rounds order by id")).mappings()]
    if json:
        print_json(rows)
    else:
        print_rows(rows, ("name", "state", "created_at", "finished_at", "adapter_path", "error"))


@rounds.command(
    "show", help="One round: what it trained on and what it measured. Example: tracemill rounds show round-1"
)
def show(name: Name, json: Json = False) -> None:
    found = one(name)
    if json:
        print_json(found | {"before_after": [c.as_json() for c in _before_after(name)]})
        return
    shown = {key: value for key, value in found.items() if key not in ("evaluations", "spec")}
    shown["metrics"] = {key: value for key, value in found["metrics"].items() if key != "loss"}
    print_rows([{"": key, "value": value} for key, value in shown.items()], ("", "value"))
    if found["evaluations"]:
        rows = [_measured(row) for row in found["evaluations"]]
        print_rows(rows, ("benchmark", "stage", "questions", "right %", "in asked form", *_given(rows)))
    _say_paired(_before_after(name))


@rounds.command(help=COMPARE)
def compare(
    first: Annotated[str, typer.Argument(help="A round.")],
    second: Annotated[str, typer.Argument(help="Another round, measured on the same questions.")],
    json: Json = False,
) -> None:
    rounds = {name: one(name) for name in (first, second)}
    with transaction() as connection:
        found = compare_sides(connection, Side(first), Side(second))
    if not found:
        measured = "; ".join(f"{name}: {_benchmarks(round_)}" for name, round_ in rounds.items())
        raise UsageError(f"rounds {first} and {second} have no evaluation in common ({measured})")
    differing = list(_differing(_settings(rounds[first]), _settings(rounds[second])))
    if json:
        print_json(
            {"first": first, "second": second, "settings": differing, "benchmarks": [c.as_json() for c in found]}
        )
        return
    if differing:
        print_rows([{"": d["key"], first: d["first"], second: d["second"]} for d in differing], ("", first, second))
    print_compared(found, first, second)


def _benchmarks(found: Mapping[str, Any]) -> str:
    return ", ".join(sorted({row["benchmark"] for row in found["evaluations"]})) or "not evaluated"


def print_compared(found: list[Compared], first: str, second: str) -> None:
    """One row a benchmark, and the sentence that it supports."""
    only = (f"only {first} right", f"only {second} right")
    rows = [
        {
            "benchmark": c.benchmark,
            "questions": c.questions,
            f"{first} %": percent(c.first),
            f"{second} %": percent(c.second),
            "points": points(c.difference),
            "McNemar": p_value(c.p),
            only[0]: c.table.first,
            only[1]: c.table.second,
        }
        for c in found
    ]
    print_rows(rows, rows[0], title=f"right answers of {second} against {first}, with 95 % intervals")
    _say_paired(found)


def _say_paired(found: list[Compared]) -> None:
    for c in found:
        console.print(f"{c.benchmark}: {verdict(c)}", markup=False, soft_wrap=True)


def _before_after(name: str) -> list[Compared]:
    with transaction() as connection:
        return compare_sides(connection, Side(name, "before"), Side(name, "after"))


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """One evaluation for the table."""
    accuracy = Interval(row["accuracy"], row["low"], row["high"])
    by_k = {name: " ".join(f"@{k} {100 * value:.1f}" for k, value in row[name].items()) for name in MEASURES[:2]}
    return {**row, **by_k, "right %": percent(accuracy), "in asked form": row["correct_strict"]}


def _given(rows: list[dict[str, Any]]) -> list[str]:
    """The measures that at least one evaluation has."""
    return [name for name in MEASURES if any(row[name] not in (None, "") for row in rows)]


def _settings(found: Mapping[str, Any]) -> dict[str, Any]:
    """A round's spec as this release writes it, whichever release stored it."""
    return parse(found["spec"], f"round '{found['name']}'").model_dump(mode="json")


def _differing(first: Mapping[str, Any], second: Mapping[str, Any], under: str = "") -> Iterator[dict[str, Any]]:
    """The settings in which two rounds differ: {key, first, second} each."""
    for key in dict.fromkeys((*first, *second)):
        old, new = first.get(key), second.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _differing(old, new, f"{under}{key}.")
        elif old != new and f"{under}{key}" != "name":
            yield {"key": f"{under}{key}", "first": old, "second": new}


def one(name: str) -> dict[str, Any]:
    """The round of that name with its evaluations. Raises UsageError listing the rounds there are."""
    with transaction() as connection:
        found = connection.execute(Q["round_by_name"], {"name": name}).mappings().one_or_none()
        if found is None:
            known = connection.execute(text("select string_agg(name, ', ' order by id) from rounds")).scalar()
            raise UsageError(f"no round '{name}'. Rounds: {known or 'none yet'}")
        evaluations = connection.execute(Q["round_evaluations"], {"round_id": found["id"]}).mappings()
        return dict(found) | {"evaluations": [dict(row) for row in evaluations]}
