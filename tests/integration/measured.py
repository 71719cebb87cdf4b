"""Trained and measured rounds without a model, with the rows that workers and trainer would store."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, text

from db.queries import Q
from tests.integration.rounds import finish, job, new_round, question, round_spec, trace
from trainer.evaluate import advance
from trainer.spec import RoundSpec

#: True for a right answer, for each question of a benchmark.
Answers = Sequence[bool]


def teach(connection: Connection, count: int = 6, name: str = "teach") -> list[int]:
    """Store a job with one accepted trace per question; return the traces."""
    questions = [question(connection, f"Add {n} and 1 and say what it makes.") for n in range(count)]
    job_id = job(connection, name, questions)
    traces = [
        trace(connection, job_id, q, f"{n} + 1 = {n + 1}. The answer is {n + 1}.") for n, q in enumerate(questions)
    ]
    connection.execute(
        text("update job_questions set state = 'done', settled = 1, accepted = 1 where job_id = :job"), {"job": job_id}
    )
    return traces


def benchmark(connection: Connection, name: str, before: Answers, *, template: str = "What is {n} + 50?") -> int:
    """Store the base model's finished evaluation."""
    questions = [question(connection, template.format(n=n), dataset=name) for n in range(len(before))]
    job_id = job(connection, name, questions, evaluate=True)
    answer(connection, job_id, before, "base")
    return job_id


def answer(connection: Connection, job_id: int, right: Answers, who: str) -> None:
    """Store one trace per question and finish the job."""
    question_ids = connection.execute(
        text("select question_id from job_questions where job_id = :job order by question_id"), {"job": job_id}
    )
    for question_id, correct in zip(question_ids.scalars(), right, strict=True):
        trace(connection, job_id, question_id, f"{who} says {'right' if correct else 'wrong'}", accepted=correct)
    finish(connection, job_id)


def measured(
    connection: Connection,
    name: str,
    after: Mapping[str, Answers],
    traces: Sequence[int],
    *,
    select: dict[str, object] | None = None,
    metrics: str = '{"examples": 6, "tokens": 120, "seconds": 30, "loss": [[1, 2.5], [2, 1.5], [3, 1.0]]}',
) -> int:
    """Store a finished round with its training traces and its student's answers by benchmark."""
    fields = round_spec(name, select=select).model_dump()
    spec = RoundSpec.model_validate(fields | {"evaluate": {"jobs": list(after)}})
    round_id = new_round(connection, spec)
    for position, trace_id in enumerate(traces):
        connection.execute(
            text("insert into examples (round_id, trace_id, role, position) values (:round, :trace, 'sft', :position)"),
            {"round": round_id, "trace": trace_id, "position": position},
        )
    connection.execute(
        text("update rounds set metrics = cast(:metrics as jsonb) where id = :id"), {"id": round_id, "metrics": metrics}
    )
    evaluate(connection, round_id, spec, after)
    return round_id


def evaluate(connection: Connection, round_id: int, spec: RoundSpec, after: Mapping[str, Answers]) -> None:
    """Mark the round as fitted, store its student's answers, and finish it."""
    done = "update rounds set state = 'done', adapter_path = :folder where id = :id"
    connection.execute(text(done), {"id": round_id, "folder": f"/adapters/{spec.name}"})
    assert not advance(connection, round_id, spec)  # opens the repetitions
    for name, right in after.items():
        repeated = connection.execute(Q["job_by_name"], {"name": f"{spec.name}/{name}"}).mappings().one()
        answer(connection, repeated["id"], right, spec.name)
    assert advance(connection, round_id, spec)


def finished_round(connection: Connection) -> None:
    """Store `round-1`, which trained on the job `teach` and was measured with `held-out`."""
    traces = teach(connection)
    benchmark(connection, "held-out", [n < 5 for n in range(20)])
    measured(connection, "round-1", {"held-out": [n < 8 for n in range(20)]}, traces)
