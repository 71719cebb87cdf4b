"""Store the input of a round: questions, jobs, traces and verdicts, as the workers would."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from db.jobs import JobSpec, one_prompt, open_job
from db.queries import Q
from db.session import transaction
from tracemill.policy import Policy
from tracemill.prompts import Prompt
from tracemill.sampling import Sampling
from tracemill.text import content_hash, fingerprint
from trainer.spec import RoundSpec

ASK = Prompt(({"role": "system", "content": "Think."}, {"role": "user", "content": "{question}"}))
TEACH = Prompt(({"role": "user", "content": "A teacher is asked differently: {question}"},))


def question(connection: Connection, content: str, dataset: str = "d") -> int:
    """Store a question and return its id. The same text in another dataset is another question."""
    row = {"hash": content_hash(dataset, content), "print": fingerprint(content), "dataset": dataset, "asked": content}
    result = connection.execute(
        text(
            "insert into questions (content_hash, fingerprint, dataset, domain, question) "
            "values (:hash, :print, :dataset, 'math', :asked) on conflict (content_hash) do update set domain = 'math' "
            "returning id"
        ),
        row,
    )
    return int(result.scalar_one())


def job(connection: Connection, name: str, questions: Sequence[int], *, evaluate: bool = False) -> int:
    """Store a running job with these questions."""
    spec = JobSpec(
        name=name,
        purpose="evaluate" if evaluate else "teach",
        model="student" if evaluate else "teacher",
        method="cot",
        prompts=one_prompt(ASK if evaluate else TEACH),
        samples=1,
        sampling=Sampling(temperature=0.0, max_tokens=64),
        policy=Policy(),
        source="test",
    )
    job_id = open_job(connection, spec)
    for question_id in questions:
        connection.execute(
            text("insert into job_questions (job_id, question_id, wanted) values (:job, :question, 1)"),
            {"job": job_id, "question": question_id},
        )
    connection.execute(Q["job_filled"], {"job_id": job_id})
    return job_id


def trace(
    connection: Connection,
    job_id: int,
    question_id: int,
    content: str,
    *,
    index: int = 0,
    accepted: bool | None = True,
    form: str = "stated",
) -> int:
    """Store a trace and return its id; with a verdict unless `accepted` is None."""
    row = {"job": job_id, "question": question_id, "index": index, "text": content, "form": form}
    trace_id = connection.execute(
        text(
            "insert into traces (job_id, question_id, sample_index, prompt_hash, text, reasoning, answer_form, steps, "
            "tokens_in, tokens_out, latency_seconds, worker) select :job, :question, :index, prompt_hash, :text, '', "
            ":form, '[]', 1, 1, 0, 'test' from job_prompts where job_id = :job and domain = 'math' returning id"
        ),
        row,
    ).scalar_one()
    if accepted is not None:
        connection.execute(
            text(
                "insert into verdicts (trace_id, verifier, correct, equations_checked, equations_false, signals, "
                "findings, accepted, seconds) values (:trace, 'checks', :accepted, 0, 0, '{}', '[]', :accepted, 0)"
            ),
            {"trace": trace_id, "accepted": accepted},
        )
    return int(trace_id)


def finish(connection: Connection, job_id: int) -> None:
    """Finish the job as the feeder does when all questions are settled."""
    connection.execute(text("update job_questions set state = 'done' where job_id = :job"), {"job": job_id})
    connection.execute(Q["finish_job"], {"job_id": job_id})


def new_round(connection: Connection, spec: RoundSpec) -> int:
    """Store a queued round and return its id."""
    connection.execute(Q["insert_prompt"], {"hash": ASK.hash, "messages": json.dumps(ASK.messages)})
    row = {"name": spec.name, "spec": spec.model_dump_json(), "prompt_hash": ASK.hash}
    return int(connection.execute(Q["insert_round"], row).scalar_one())


def round_row(round_id: int) -> dict[str, Any]:
    """Read a round's row with its prompt."""
    with transaction() as connection:
        return dict(connection.execute(Q["round_for_work"], {"round_id": round_id}).mappings().one())


def round_spec(
    name: str = "r1", *, select: dict[str, object] | None = None, fit: dict[str, object] | None = None
) -> RoundSpec:
    """Build a round on job `teach`, evaluated with job `before`."""
    return RoundSpec.model_validate(
        {
            "name": name,
            "select": {"jobs": ["teach"], **(select or {})},
            "fit": fit or {},
            "evaluate": {"jobs": ["before"]},
        }
    )
