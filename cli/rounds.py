"""`tracemill rounds`: list, show, compare and cancel training rounds."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any

import typer
from sqlalchemy import text

from cli.output import Json, print_facts, print_json, print_line, print_rows
from db.queries import Q
from db.session import reader, transaction
from tracemill.errors import UsageError, unknown_name
from tracemill.statistics import Interval
from trainer.compare import Compared, OverSeeds, Side, over_seeds, p_value, percent, points, verdict
from trainer.compare import compare as compare_sides
from trainer.recipes import dev_jobs, differing, no_seeds_of_one_recipe, settings_of
from trainer.submit import cancel_round

rounds = typer.Typer(help="Rounds: list, show, compare, tiers, cancel.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The round's name.")]
COMPARE = """Compare two rounds, or two recipes, on the same questions: difference, 95 % interval, paired test.

Of two rounds the interval is over questions: it holds for these two students. Of two lists of rounds, each one recipe
with several seeds, it is over seeds: it holds for the recipes. Several benchmarks get p values by Holm too.

Example: tracemill rounds compare control-1,control-2,control-3 round-1,round-2,round-3"""
#: Printed below a comparison of one round a side.
ONE_RUN = "Other seeds would give other students. To compare recipes, list rounds of several seeds: A,B,C D,E,F"

CANCEL = """Cancel a round: its training ends, and so do the evaluation jobs of its model.

Stored traces and a finished adapter are kept. `tracemill train ROUND.toml` continues the round.

Example: tracemill rounds cancel round-1"""

COLUMNS = ("name", "state", "created_at", "finished_at", "adapter_path", "error")
#: Accuracies by the number of samples.
BY_SAMPLES = ("pass_at", "majority_at")
#: Measures of an evaluation beside its accuracy.
MEASURES = ("left out", *BY_SAMPLES, "steps", "faithfulness", "coherence", "tokens_out")


def register(app: typer.Typer) -> None:
    from cli.tiers import TIERS, tiers  # it uses `round_named`

    rounds.command(help=TIERS)(tiers)
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
        print_json(stored | {"before_after": [c.as_json() for c in _before_after(stored)]})
        return
    facts = {key: value for key, value in stored.items() if key not in ("evaluations", "spec")}
    print_facts(facts | {"metrics": {key: value for key, value in stored["metrics"].items() if key != "loss"}})
    print_evaluations(stored["evaluations"])
    _print_verdicts(_before_after(stored))
    if dev_jobs(stored):
        print_line(f"To choose by, not to report: {', '.join(dev_jobs(stored))}")


def print_evaluations(evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Print one row an evaluation, with the measures that at least one of them has."""
    rows = [_evaluation_row(evaluation) for evaluation in evaluations]
    measures = [name for name in MEASURES if any(row[name] not in (None, "") for row in rows)]
    if rows:
        columns = ("benchmark", "stage", "questions", "right %", "in requested form", *measures)
        print_rows(rows, columns, title="evaluations, with 95 % intervals over questions")


@rounds.command(help=COMPARE)
def compare(
    first: Annotated[str, typer.Argument(help="A round, or a list of rounds with commas: one recipe, several seeds.")],
    second: Annotated[str, typer.Argument(help="Another round, or as many, measured on the same questions.")],
    is_dev: Annotated[
        bool, typer.Option("--dev", help="Compare on the [dev] sets, to choose; not on what is reported.")
    ] = False,
    json: Json = False,
) -> None:
    arms = [[round_named(name) for name in dict.fromkeys(names.split(","))] for names in (first, second)]
    require_arms(arms)
    dev = {job for arm in arms for round_ in arm for job in dev_jobs(round_)}
    with reader() as connection:
        pairs = [
            compare_sides(connection, Side(a["name"]), Side(b["name"]), dev, is_dev=is_dev)
            for a, b in zip(*arms, strict=True)
        ]
    results: Sequence[Compared | OverSeeds] = pairs[0] if len(pairs) == 1 else over_seeds(pairs)
    if not results:
        measured = "; ".join(f"{round_['name']}: {_benchmarks(round_)}" for arm in arms for round_ in arm)
        kind = "[dev] set" if is_dev else "evaluation"
        raise UsageError(f"rounds {first} and {second} have no {kind} in common ({measured})")
    settings = list(differing(settings_of(arms[0][0]), settings_of(arms[1][0])))
    if json:
        benchmarks = [result.as_json() for result in results]
        print_json({"first": first, "second": second, "settings": settings, "benchmarks": benchmarks})
        return
    if settings:
        print_rows([{"": d["key"], first: d["first"], second: d["second"]} for d in settings], ("", first, second))
    if len(pairs) > 1:
        print_over_seeds(over_seeds(pairs), arms)
    else:
        print_compared(pairs[0], first, second)
        print_line(ONE_RUN)


def require_arms(arms: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Raise UsageError unless both arms have as many rounds, each arm those of one recipe with different seeds."""
    n_first, n_second = map(len, arms)
    if n_first != n_second:
        raise UsageError(f"{n_first} and {n_second} rounds cannot be paired: list as many rounds on both sides")
    for arm in arms:
        for first, second in combinations(arm, 2):
            reason = no_seeds_of_one_recipe(settings_of(first), settings_of(second))
            if reason is not None:
                names = f"{first['name']} and {second['name']}"
                raise UsageError(f"rounds {names} are not two seeds of one recipe: {reason}")


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
    test = "McNemar" if all(c.shares is None for c in compared) else "Student"
    rows = [
        {
            "benchmark": c.benchmark,
            "questions": c.questions,
            f"{first} %": percent(c.first),
            f"{second} %": percent(c.second),
            "points": points(c.difference),
            test: p_value(c.p),
            **_by_holm(c),
            f"only {first} right": c.table.first,
            f"only {second} right": c.table.second,
        }
        for c in compared
    ]
    print_rows(rows, rows[0], title=f"right answers of {second} against {first}, with 95 % intervals over questions")
    _print_verdicts(compared)


def print_over_seeds(results: Sequence[OverSeeds], arms: Sequence[Sequence[Mapping[str, Any]]]) -> None:
    """Print one row a pair of rounds and benchmark, and a sentence with the result of each benchmark."""
    rows = [
        {
            "benchmark": result.benchmark,
            "first": first["name"],
            "second": second["name"],
            "first %": f"{100 * before:.1f}",
            "second %": f"{100 * after:.1f}",
            "points": f"{100 * (after - before):+.1f}",
        }
        for result in results
        for first, second, before, after in zip(*arms, result.firsts, result.seconds, strict=True)
    ]
    print_rows(rows, rows[0], title="right answers by pair of seeds")
    _print_verdicts(results)
    print_line("The intervals are over seeds, and hold for these questions (Student's t of the differences by seed).")


def _by_holm(test: Compared) -> dict[str, str]:
    return {} if test.p_holm is None else {"by Holm": p_value(test.p_holm)}


def _print_verdicts(results: Sequence[Compared | OverSeeds]) -> None:
    for result in results:
        print_line(f"{result.benchmark}: {verdict(result)}")


def _before_after(stored: Mapping[str, Any]) -> list[Compared]:
    """The reported benchmarks, then those to choose by."""
    sides, dev = (Side(stored["name"], "before"), Side(stored["name"], "after")), dev_jobs(stored)
    with reader() as connection:
        return [each for is_dev in (False, True) for each in compare_sides(connection, *sides, dev, is_dev=is_dev)]


def _evaluation_row(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = Interval(evaluation["accuracy"], evaluation["low"], evaluation["high"])
    by_samples = {
        name: " ".join(f"@{k} {100 * value:.1f}" for k, value in evaluation[name].items()) for name in BY_SAMPLES
    }
    by_samples["left out"] = str(evaluation.get("left_out") or "")
    return {**evaluation, **by_samples, "right %": percent(accuracy), "in requested form": evaluation["correct_strict"]}


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
