"""Store traces of other tools as a job whose questions are generated already, so that only verdicts are missing.

It works in batches like an enqueue. The same trace of a question is stored once, so running a killed import again
completes it.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any

from sqlalchemy import Connection

from db.jobs import JobSpec, open_job
from db.queries import Q
from db.session import transaction
from producer.enqueue import BATCH_CHARS, STAGED, copy_staged, staged_rows
from producer.sources import Problem, Question
from producer.sources.questions import TracedQuestion
from tracemill.methods import named
from tracemill.methods.trace_text import text_columns
from tracemill.prompts import prompt_domain
from tracemill.text import content_hash
from tracemill.verification.answers.kinds import guess

#: Questions per transaction; each may have many long traces.
BATCH = 200
#: The name of the worker of imported traces.
WORKER = "import"
MAX_PROBLEMS = 20


@dataclass
class Imported:
    """The result of an import."""

    job_id: int
    #: Rows and traces of the file, and the traces that are new in the job.
    read: int = 0
    traces: int = 0
    new: int = 0
    #: The first unreadable rows, and the number of all unreadable rows.
    problems: list[Problem] = field(default_factory=list)
    bad: int = 0


def import_traces(
    rows: Iterable[TracedQuestion | Problem],
    spec: JobSpec,
    *,
    dataset: str,
    domain: str,
    progress: Callable[[int], None] = lambda traces: None,
) -> Imported:
    """Open the job and store the questions with their traces. A question's own domain takes precedence over `domain`.

    Raises UsageError when the job's name is taken by a job with other settings.
    """
    with transaction() as connection:
        done = Imported(open_job(connection, spec))
    for batch in _batches(_readable(rows, done)):
        with transaction() as connection:
            done.new += _store(connection, done.job_id, spec, batch, dataset, domain)
        done.read += len(batch)
        done.traces += sum(len(row.traces) for row in batch)
        progress(done.traces)
    with transaction() as connection:
        for change in ("drop_empty_job", "job_filled", "reopen_job"):
            connection.execute(Q[change], {"job_id": done.job_id})
    return done


def _readable(rows: Iterable[TracedQuestion | Problem], done: Imported) -> Iterator[TracedQuestion]:
    for row in rows:
        if isinstance(row, Problem):
            done.bad += 1
            if len(done.problems) < MAX_PROBLEMS:
                done.problems.append(row)
        else:
            yield row


def _batches(rows: Iterable[TracedQuestion]) -> Iterator[list[TracedQuestion]]:
    batch: list[TracedQuestion] = []
    chars = 0
    for row in rows:
        batch.append(row)
        chars += len(row.question.text) + sum(map(len, row.traces))
        if len(batch) == BATCH or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _store(
    connection: Connection, job_id: int, spec: JobSpec, batch: list[TracedQuestion], dataset: str, domain: str
) -> int:
    """Store the new traces of a batch, and return their number."""
    connection.exec_driver_sql(STAGED)
    copy_staged(connection, staged_rows([row.question for row in batch], dataset, domain))
    connection.execute(Q["insert_questions"])
    ids = {row.content_hash: row.id for row in connection.execute(Q["staged_question_ids"])}
    key = {"job_id": job_id, "question_ids": list(ids.values())}
    digests: dict[int, list[str]] = defaultdict(list)
    for stored in connection.execute(Q["stored_digests"], key):
        digests[stored.question_id].append(stored.digest)
    traces = []
    for row in batch:
        question = row.question
        question_id = ids[content_hash(dataset, question.text, question.gold)]
        for text in row.traces:
            columns = _trace_columns(text, question, spec, domain)
            digest = md5(columns["text"].encode(), usedforsecurity=False).hexdigest()
            if digest not in digests[question_id]:
                index = len(digests[question_id])
                traces.append(columns | {"job_id": job_id, "question_id": question_id, "sample_index": index})
                digests[question_id].append(digest)
    counts = [{"question_id": id_, "wanted": len(digests[id_])} for id_ in {trace["question_id"] for trace in traces}]
    connection.execute(Q["insert_imported_questions"], {"job_id": job_id, "rows": json.dumps(counts)})
    connection.execute(Q["insert_traces"], {"rows": json.dumps(traces)})
    return len(traces)


def _trace_columns(text: str, question: Question, spec: JobSpec, domain: str) -> dict[str, Any]:
    """The columns of `traces`, without the ids. Tokens, seconds and cost are not known, which is 0."""
    chain = next(iter(spec.prompts[prompt_domain(question.domain or domain)].values()))
    kind = question.kind or guess(question.gold, question.text)
    return {
        **text_columns(text, named(spec.method), kind),  # type: ignore[arg-type]
        "variant": "",
        "prompt_hash": list(chain.values())[-1].hash,
        "calls": [],
        **dict.fromkeys(("tokens_in", "tokens_out", "thinking_tokens", "latency_seconds", "engine_seconds", "cost"), 0),
        "finish_reason": None,
        "worker": WORKER,
    }
