"""What the demo measured: one dictionary for machines, and the same as tables for people."""

from typing import Any

from rich.table import Table
from rich.text import Text
from sqlalchemy import RowMapping, text

from cli.output import console, print_rows
from db.calibrations import latest
from db.queries import Q
from db.session import transaction
from tracemill.policy import Policy
from tracemill.settings import model as model_settings
from tracemill.settings import settings
from tracemill.statistics import share

QUERIES = (
    ("How far is each job?", "select job, questions, traces, correct, accepted, tokens_out from job_progress"),
    (
        "How often is an answer right while an equation in it is false (right by luck)?",
        "select equations_false > 0 as false_equation, count(*) as traces, "
        "count(*) filter (where accepted) as accepted "
        "from trace_scores where correct and purpose = 'teach' group by 1 order by 1",
    ),
    (
        "Which traces trained the adapter, and what did it reach?",
        "select round, position, question, teacher, evaluation_stage, round(accuracy::numeric, 3) as accuracy "
        "from round_lineage where evaluation_stage = 'after' order by round desc, position limit 3",
    ),
)


def report(round_name: str, before: str, teacher: str, teach: str, seconds: dict[str, float]) -> dict[str, Any]:
    """Measure, print and return the demo's figures."""
    with transaction() as connection:

        def one(query: str, **values: Any) -> Any:
            return connection.execute(text(query), values).mappings().one()

        job = one("select * from job_progress where job = :name", name=teach)
        luck = one(
            "select count(*) filter (where correct and equations_false > 0) as n from trace_scores where job = :name",
            name=teach,
        )

        def answers(name: str) -> RowMapping:
            job_id = one("select id from jobs where name = :name", name=name)["id"]
            return connection.execute(Q["evaluation_counts"], {"job_id": job_id}).mappings().one()

        answered = {
            "student before": answers(before),
            "teacher, four examples shown": answers(teacher),
            "student after": answers(f"{round_name}/{before}"),
        }
        rated = one(
            "select count(*) filter (where signals ? 'rating') as n from trace_scores where job = any(:names)",
            names=[teacher, teach],
        )["n"]
        policy = Policy.model_validate(one("select policy from jobs where name = :name", name=teach)["policy"])
        canaries = connection.execute(Q["job_canaries"], {"job_id": job["job_id"]}).mappings().all()
        trained = one("select metrics from rounds where name = :name", name=round_name)["metrics"]

    measured = latest("verifier", model_settings("verifier").model).get("rating")
    found = {
        "round": round_name,
        "teaching": {
            "questions": job["questions"],
            "traces": job["traces"],
            "right": job["correct"],
            "right_with_false_equation": luck["n"],
            "accepted": job["accepted"],
            "failed_questions": job["failed"],
            "tokens_out": int(job["tokens_out"]),
            "tokens_per_accepted": round(int(job["tokens_out"]) / max(1, job["accepted"])),
            "tokens_per_second": round(int(job["tokens_out"]) / max(0.1, seconds["ask and verify"])),
        },
        "accuracy": {
            who: {
                "strict": share(row["correct_strict"], row["questions"])._asdict(),
                "lenient": share(row["correct"], row["questions"])._asdict(),
                "questions": row["questions"],
            }
            for who, row in answered.items()
        },
        "judge": {
            "rated": rated,
            "auc": measured.auc._asdict() if measured else None,
            "uninformative": policy.uninformative.get("rating"),
            "canaries": len(canaries),
            "fooled_by": sorted({row["attack"] for row in canaries if row["fooled"]}),
        },
        "training": {key: trained[key] for key in trained if key != "loss"},
        "seconds": seconds,
    }
    _print(found)
    return found


def judge_in_words(judge: dict[str, Any]) -> str:
    """What was measured of the judge, and what follows."""
    if judge["uninformative"]:
        said = f"its rating gates nothing: {judge['uninformative']}"
    else:
        auc = judge["auc"]
        said = f"its rating gates: AUC {auc['value']:.2f} [{auc['low']:.2f}, {auc['high']:.2f}]"
    fooled = f"fooled by {len(judge['fooled_by'])} kinds of {judge['canaries']} canaries"
    return f"{said}; {fooled}; {judge['rated']} traces rated"


def _print(found: dict[str, Any]) -> None:
    teaching = found["teaching"]
    cost = Table(title="What the teacher's traces cost", title_justify="left", show_header=False)
    traces = teaching["traces"]
    for name, value in (
        ("traces", f"{traces} of {teaching['questions']} questions"),
        ("right answer", f"{teaching['right']} ({teaching['right'] / traces:.1%})"),
        (
            "  of these with a false equation",
            f"{teaching['right_with_false_equation']} (right by luck, not trained on)",
        ),
        ("accepted", f"{teaching['accepted']} ({teaching['accepted'] / traces:.1%})"),
        ("tokens written", f"{teaching['tokens_out']} ({teaching['tokens_per_second']}/s)"),
        ("tokens per accepted trace", str(teaching["tokens_per_accepted"])),
        ("LLM verifier", judge_in_words(found["judge"])),
    ):
        cost.add_row(name, Text(value))
    console.print(cost)

    accuracy = Table(title="Right answers on held-out questions, % [95 % interval]", title_justify="left")
    for column in ("", "questions", 'strict: "The answer is N"', "lenient: last number"):
        accuracy.add_column(column)
    for who, row in found["accuracy"].items():
        accuracy.add_row(who, str(row["questions"]), *(_percent(row[kind]) for kind in ("strict", "lenient")))
    console.print(accuracy)
    console.print("Most of a jump in the strict column is learning the form; compare the lenient one.")

    stages = Table(title="Where the time went", title_justify="left", show_header=False)
    for name, value in found["seconds"].items():
        stages.add_row(name, f"{value:.0f} s")
    console.print(stages)
    _print_queries()


def _percent(row: dict[str, float]) -> Text:
    return Text(f"{100 * row['value']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]")


def _print_queries() -> None:
    import psycopg
    from psycopg.rows import dict_row

    url = settings().reader_url
    assert url is not None
    with psycopg.connect(url.get_secret_value(), row_factory=dict_row) as connection:
        for question, query in QUERIES:
            cursor = connection.execute(query)
            console.print(f'\n{question}\n  tracemill sql "{query}"', markup=False, soft_wrap=True)
            print_rows(cursor.fetchall(), [column.name for column in cursor.description or []])
