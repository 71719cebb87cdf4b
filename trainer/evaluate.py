"""Evaluate before and after: repeat the student's evaluation jobs with the adapter; store one row per job.

An evaluation is an ordinary job: this module opens it, and the feeder and the workers do the rest.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import fmean as mean
from typing import Any

from sqlalchemy import Connection

from db.jobs import stored_job
from db.queries import Q
from producer.enqueue import copy_questions
from tracemill.errors import TracemillError, UsageError
from tracemill.sampling import Sampling
from tracemill.statistics import majority_right, mean_share, pass_at, share
from trainer.spec import RoundSpec


def advance(connection: Connection, round_id: int, spec: RoundSpec) -> bool:
    """Open the missing jobs; when all jobs are done, write the evaluations and return True.

    It is safe to call repeatedly. Raises TracemillError when a job was cancelled, or has failed questions that it does
    not leave out.
    """
    before = jobs_by_names(connection, spec.measured_jobs)
    after = jobs_by_names(connection, [repeated(spec, name) for name in before])
    for job in before.values():
        repetition = after.get(repeated(spec, job["name"]))
        # A job in the state `filling` does not have all its questions yet.
        if job["state"] != "filling" and (repetition is None or repetition["round_id"] != round_id):
            _repeat(connection, round_id, spec, job)
    for job in (*before.values(), *after.values()):
        if job["state"] == "cancelled":
            raise TracemillError(
                f"round '{spec.name}': evaluation job '{job['name']}' was cancelled, so there is nothing to compare. "
                "Evaluate with another job, in a round of another name."
            )
    if len(after) < len(before) or any(job["state"] != "done" for job in (*before.values(), *after.values())):
        return False
    for job in (*before.values(), *after.values()):
        _require_answers(connection, job, spec)
    for stage, jobs in (("before", before), ("after", after)):
        for benchmark, job in zip(before, jobs.values(), strict=True):
            row = {"round_id": round_id, "job_id": job["id"], "stage": stage, "benchmark": benchmark}
            connection.execute(Q["insert_evaluation"], row | measure(connection, job))
    return True


def _require_answers(connection: Connection, job: dict[str, Any], spec: RoundSpec) -> None:
    name, (failed, questions) = job["name"], connection.execute(Q["failed_questions"], {"job_id": job["id"]}).one()
    if failed and not job["leaves_out_failed"]:
        raise TracemillError(
            f"round '{spec.name}': {failed} of {questions} questions of evaluation job '{name}' failed, so no accuracy "
            f"is recorded. Retry them: tracemill jobs retry {name}. Or measure without them: tracemill jobs leave-out "
            f"{name}. Then repeat `tracemill train`."
        )


def jobs_by_names(connection: Connection, names: list[str]) -> dict[str, dict[str, Any]]:
    """Read the rows of `jobs` with these names, in the order of the names."""
    rows = connection.execute(Q["jobs_by_names"], {"names": names}).mappings()
    jobs = {row["name"]: dict(row) for row in rows}
    return {name: jobs[name] for name in names if name in jobs}


def template_options(jobs: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The variables of the chat template in evaluation jobs (rows of `jobs`), which also make the student's rows.

    Raises UsageError when the jobs differ in them.
    """
    options = {job["name"]: dict(Sampling.from_json(job["sampling"]).chat_template_kwargs) for job in jobs}
    different = [name for name, each in options.items() if each != next(iter(options.values()))]
    if different:
        raise UsageError(
            f"evaluate.jobs: all questions must be sent with the same chat_template_kwargs, but those of "
            f"'{next(iter(options))}' and '{different[0]}' differ"
        )
    return next(iter(options.values()), {})


def repeated(spec: RoundSpec, job: str) -> str:
    """The name of the repetition of an evaluation job with the round's adapter."""
    return f"{spec.name}/{job}"


def _repeat(connection: Connection, round_id: int, spec: RoundSpec, job: dict[str, Any]) -> None:
    stored = stored_job(connection, job["name"])
    assert stored is not None
    with_adapter = replace(
        stored,
        name=repeated(spec, stored.name),
        model=spec.evaluate.served_by or stored.model,
        round_id=round_id,
        from_job_id=None,
        negative=False,
        budget=None,
        budget_unit=None,
    )
    copy_questions(connection, with_adapter, job["id"])


def measure(connection: Connection, job: dict[str, Any]) -> dict[str, Any]:
    """Measure a finished evaluation job: the columns of `evaluations` from `questions` on.

    Of several samples the accuracy is the mean over questions of the share of right ones. If the job stops at enough
    right samples, it is the share of right first samples.
    """
    key = {"job_id": job["id"]}
    counts = connection.execute(Q["evaluation_counts"], key).mappings().one()
    if counts["questions"] == 0:
        raise TracemillError(f"evaluation job '{job['name']}' has no questions, so it measured nothing")
    accuracy = share(counts["correct"], counts["questions"])
    samples = job["samples"]
    by_k: dict[str, dict[int, float]] = {"pass_at": {}, "majority_at": {}}
    # Adaptive sampling takes more samples of hard questions, so no estimate is unbiased.
    if samples > 1 and job["enough"] is None:
        rows = connection.execute(Q["evaluation_samples"], key).all()
        by_k = of_samples([list(zip(row.answers, row.correct, strict=True)) for row in rows], samples)
        shares = [sum(row.correct) / samples for row in rows]
        accuracy = mean_share(len(shares), sum(shares), sum(each * each for each in shares), samples)
    stored = {name: json.dumps(values) for name, values in by_k.items()}
    return {**counts, **stored, "accuracy": accuracy.value, "low": accuracy.low, "high": accuracy.high}


def of_samples(questions: list[list[tuple[str | None, bool]]], samples: int) -> dict[str, dict[int, float]]:
    """Compute pass@k and majority@k for k = 1, 2, 4, … and `samples`, from each question's (answer, right) pairs.

    A missing sample is wrong and has no vote. majority@k uses the first k samples, because their order is arbitrary.
    """
    steps = sorted({samples, *(2**power for power in range(samples.bit_length()))})
    rights = [sum(right for _, right in answers) for answers in questions]
    return {
        "pass_at": {k: mean(pass_at(k, right, samples) for right in rights) for k in steps},
        "majority_at": {k: mean(majority_right(answers[:k]) for answers in questions) for k in steps},
    }
