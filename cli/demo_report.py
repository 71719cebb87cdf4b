"""The measurements of the demo: a dictionary for machines, and tables for people."""

from typing import Any

from sqlalchemy import RowMapping, text

from cli.demo_teacher import display_name
from cli.job_figures import saved
from cli.output import console, print_facts, print_line, print_rows
from cli.policies import plain_means
from db.calibrations import latest
from db.queries import Q
from db.session import transaction
from tracemill.policy import Policy
from tracemill.settings import model as model_settings
from tracemill.settings import settings
from tracemill.statistics import Interval, share
from trainer.compare import percent

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

        def row(query: str, **values: Any) -> Any:
            return connection.execute(text(query), values).mappings().one()

        job = row("select * from job_progress where job = :name", name=teach)
        ends = [dict(each) for each in connection.execute(Q["question_ends"], {"job_id": job["job_id"]}).mappings()]
        lucky = row(
            "select count(*) filter (where correct and equations_false > 0) as n from trace_scores where job = :name",
            name=teach,
        )

        def key_of(name: str) -> dict[str, Any]:
            return {"job_id": row("select id from jobs where name = :name", name=name)["id"]}

        def counts(name: str) -> RowMapping:
            return connection.execute(Q["evaluation_counts"], key_of(name)).mappings().one()

        def canaries_of(name: str) -> list[dict[str, Any]]:
            return [dict(each) for each in connection.execute(Q["job_canaries"], key_of(name)).mappings()]

        evaluations = {
            "student before": counts(before),
            "teacher, four examples shown": counts(teacher),
            "student after": counts(f"{round_name}/{before}"),
        }
        rated = row(
            "select count(*) filter (where signals ? 'rating') as n from trace_scores where job = any(:names)",
            names=[teacher, teach],
        )["n"]
        policy = Policy.model_validate(row("select policy from jobs where name = :name", name=teach)["policy"])
        canaries = canaries_of(teach) or canaries_of(teacher)
        metrics = row("select metrics from rounds where name = :name", name=round_name)["metrics"]

    calibrated = latest("verifier", model_settings("verifier").model).get("rating")
    figures = {
        "round": round_name,
        "models": {
            role: display_name(model_settings(alias).model)
            for role, alias in (("teacher", "teacher"), ("student", "student"), ("judge", "verifier"))
        },
        "teaching": {
            "questions": job["questions"],
            "traces": job["traces"],
            "right": job["correct"],
            "right_with_false_equation": lucky["n"],
            "accepted": job["accepted"],
            "failed_questions": job["failed"],
            "tokens_out": int(job["tokens_out"]),
            "tokens_per_accepted": round(int(job["tokens_out"]) / max(1, job["accepted"])),
            "tokens_per_second": round(int(job["tokens_out"]) / max(0.1, seconds["ask and verify"])),
        },
        "adaptive": saved(job, ends),
        "accuracy": {
            model: {
                "strict": share(evaluation["correct_strict"], evaluation["questions"])._asdict(),
                "lenient": share(evaluation["correct"], evaluation["questions"])._asdict(),
                "questions": evaluation["questions"],
            }
            for model, evaluation in evaluations.items()
        },
        "judge": {
            "rated": rated,
            "auc": calibrated.auc._asdict() if calibrated else None,
            "uninformative": policy.uninformative.get("rating"),
            "threshold": policy.thresholds["rating"].least if "rating" in policy.thresholds else None,
            "canaries": len(canaries),
            "plain": plain_means(canaries),
            "fooled_by": sorted({canary["attack"] for canary in canaries if canary["fooled"]}),
        },
        "training": {key: metrics[key] for key in metrics if key != "loss"},
        "seconds": seconds,
    }
    print_figures(figures)
    _print_queries()
    return figures


def judge_in_words(judge: dict[str, Any]) -> str:
    """Describe the judge's calibration and its canaries in a sentence."""
    auc = f"AUC {Interval(**judge['auc'])}" if judge["auc"] else "not calibrated"
    if judge["uninformative"]:
        gate = f"its rating gates nothing: {judge['uninformative']}"
    elif judge["threshold"] is None:
        gate = f"its rating is only measured: {auc}"
    else:
        gate = f"its rating gates at {judge['threshold']:.2f}: {auc}"
    fooled = f"fooled by {len(judge['fooled_by'])} kinds of {judge['canaries']} canaries"
    if judge["plain"]:
        fooled += " (it rates right sums {:.2f}, wrong ones {:.2f})".format(*judge["plain"])
    return f"{gate}; {fooled}; {judge['rated']} traces rated"


def print_figures(figures: dict[str, Any]) -> None:
    """Print the cost of the traces, the accuracies and the time of each stage."""
    teaching = figures["teaching"]
    traces, models, adaptive = teaching["traces"], figures["models"], figures["adaptive"]
    saving = f"; adaptive sampling saved {adaptive['tokens_saved']} tokens" if adaptive else ""
    cost = {
        "teacher": models["teacher"],
        "student": models["student"],
        "traces": f"{traces} of {teaching['questions']} questions",
        "right answer": f"{teaching['right']} ({teaching['right'] / traces:.1%})",
        "  of these with a false equation": f"{teaching['right_with_false_equation']} (right by luck, not trained on)",
        "accepted": f"{teaching['accepted']} ({teaching['accepted'] / traces:.1%})",
        "tokens written": f"{teaching['tokens_out']} ({teaching['tokens_per_second']}/s){saving}",
        "tokens per accepted trace": teaching["tokens_per_accepted"],
        "LLM verifier": f"{models['judge']}: {judge_in_words(figures['judge'])}",
    }
    print_facts(cost, title="What the teacher's traces cost")
    accuracy = [
        {
            "": model,
            "questions": shares["questions"],
            "strict: in the requested form": percent(Interval(**shares["strict"])),
            "lenient: last number": percent(Interval(**shares["lenient"])),
        }
        for model, shares in figures["accuracy"].items()
    ]
    print_rows(accuracy, accuracy[0], title="Right answers on held-out questions, % [95 % interval over questions]")
    print_line("Most of a jump in the strict column is learning the form; compare the lenient one.")
    stages = {stage: f"{seconds:.0f} s" for stage, seconds in figures["seconds"].items()}
    print_facts(stages, title="Where the time went")


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
