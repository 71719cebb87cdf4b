"""Questions with traces as generate workers store them, and their verification."""

import json
from collections.abc import Sequence

from db.queries import Q
from db.session import transaction
from producer.sources import Question
from tests.integration.factory import ASK, change, rows, value
from tracemill.engines import Completion
from tracemill.methods import Call, named
from workers.traces import trace_row
from workers.verify import verify
from workers.visit import Answer, Link, Slot


def sums(count: int) -> list[Question]:
    return [Question(f"What is {n} + 7?", str(n + 7), "math", None, {}, None) for n in range(10, 10 + count)]


def store(job: str, texts: dict[str, list[str]], finish_reason: str = "stop", check: bool = True) -> None:
    """Store the traces of each question as a generate worker does; verify them if `check`."""
    job_id = value("select id from jobs where name = :job", job=job)
    method = named(value("select method from jobs where name = :job", job=job))
    for row in rows("select id, question from questions where dataset = :job order by id", job=job):
        known = value("select count(*) from traces where question_id = :id", id=row.id)
        with transaction() as connection:
            for number, text in enumerate(texts[row.question], known):
                link = Link(Call("answer", ASK), Completion(text, 1, finish_reason), 1, 0.0, 0.1, 0.1)
                written = trace_row(Answer(Slot("", number), (link,)), method, "number")
                key = {"job_id": job_id, "question_id": row.id, "worker": "test"}
                connection.execute(Q["insert_traces"], {"rows": json.dumps([written | key])})
        change("update job_questions set state = 'generated' where question_id = :id", id=row.id)
        if check:
            verify(job_id, [row.id])


def right_and_wrong(questions: Sequence[Question]) -> dict[str, list[str]]:
    """One right and one wrong trace for each question."""
    return {
        q.text: [
            f"I add them: {int(q.gold or 0) - 7} + 7 = {q.gold}.\nThe answer is {q.gold}.",
            f"I think it is more.\nThe answer is {int(q.gold or 0) + 1}.",
        ]
        for q in questions
    }
