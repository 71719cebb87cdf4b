"""Traces in Postgres: jobs, questions and samples, read from the views as the read-only role."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import RowMapping

from db.queries import Q
from tracemill.errors import unknown_name
from tracemill.scores import SCORES
from tracemill.text import storable
from tracemill.thinking import joined
from web.filters import Filters
from web.reader import Reader
from web.records import (
    MAX_PREVIEW,
    MAX_SHOWN,
    ROWS,
    SAMPLES,
    Finding,
    JobRow,
    QuestionList,
    QuestionPage,
    QuestionRow,
    Sample,
)
from web.rounds import RoundStore

#: Questions whose traces are searched for a page. The next page continues.
WINDOW = 2_000

#: Columns of a trace that are shown by their names.
SCORED = (*(score.name for score in SCORES), "faithfulness", "coherence", "majority", "margin")
FACTS = (
    "model",
    "adapter",
    "method",
    "tokens_in",
    "tokens_out",
    "thinking_tokens",
    "latency_seconds",
    "engine_seconds",
    "cost",
    "finish_reason",
    "verifier",
    "worker",
)


class JobStore:
    """The store of all jobs in the database of the settings."""

    def __init__(self) -> None:
        """Raises StackError if no database is configured, or if it cannot be reached."""
        self._reader = Reader()
        self.rounds = RoundStore(self._reader)

    def require(self, name: str) -> None:
        """Raise UsageError, which names known jobs, if there is no such job."""
        names = [row.name for row in reversed(self.jobs())]
        if name not in names:
            raise unknown_name("job", name, names)

    def jobs(self) -> Sequence[JobRow]:
        return self._jobs(None)

    def job(self, name: str) -> JobRow | None:
        return next(iter(self._jobs(storable(name))), None)

    def questions(self, job: JobRow, filters: Filters, after: int) -> QuestionList:
        window = WINDOW if filters.is_active else ROWS + 1
        bounds = {"after": after, "limit": ROWS + 1, "window": window, "preview": MAX_PREVIEW}
        with self._reader.reading() as connection:
            listed = connection.execute(Q["page_questions"], _values(job, filters) | bounds).all()
        last_seen = listed[0].last_seen
        rows = [
            QuestionRow(
                row.question_id,
                row.question,
                row.gold,
                row.samples,
                row.right,
                row.wrong,
                row.accepted,
                row.state,
                row.last_error,
            )
            for row in listed
            if row.question_id is not None
        ]
        if len(rows) > ROWS:
            return QuestionList(rows[:ROWS], rows[ROWS - 1].id)
        note = f"{window:,} questions are searched; more follow." if last_seen is not None else ""
        return QuestionList(rows, last_seen, note)

    def neighbour(self, job: JobRow, filters: Filters, question: int, *, forwards: bool) -> int | None:
        values = _values(job, filters) | {"question_id": question}
        with self._reader.reading() as connection:
            query = Q["page_next" if forwards else "page_previous"]
            number: int | None = connection.execute(query, values).scalar_one_or_none()
            return number

    def question(self, job: JobRow, question: int, start: int) -> QuestionPage | None:
        values = {"job_id": _job_id(job), "question_id": question, "max_shown": MAX_SHOWN}
        with self._reader.reading() as connection:
            window = {"start": start, "limit": SAMPLES + 1}
            rows = connection.execute(Q["page_question"], values | window).mappings().all()
        if not rows:
            return None
        samples = [_sample(row) for row in rows if row["trace_id"] is not None]
        first = rows[0]
        names = ("question_dataset", "question_domain", "state", "difficulty", "last_error")
        return QuestionPage(
            id=question,
            text=first["question_text"],
            gold=first["question_gold"],
            samples=samples[:SAMPLES],
            facts={name.removeprefix("question_"): first[name] for name in names if first[name]},
            start=start,
            has_more=len(samples) > SAMPLES,
        )

    def whole_text(self, job: JobRow, question: int, sample: int) -> str | None:
        values = {"job": job.name, "question_id": question, "trace_id": sample}
        with self._reader.reading() as connection:
            row = connection.execute(Q["page_text"], values).one_or_none()
        return None if row is None else joined(row.thoughts, row.text)

    def close(self) -> None:
        self._reader.close()

    def _jobs(self, name: str | None) -> Sequence[JobRow]:
        with self._reader.reading() as connection:
            rows = connection.execute(Q["page_jobs"], {"name": name}).mappings()
            return [JobRow(row["job"], dict(row)) for row in rows]


def _job_id(job: JobRow) -> int:
    assert job.progress is not None
    return int(job.progress["job_id"])


def _values(job: JobRow, filters: Filters) -> dict[str, Any]:
    values = asdict(filters) | {"text": storable(filters.text), "method": storable(filters.method)}
    return values | {"is_filtered": filters.is_active, "job_id": _job_id(job), "job": job.name}


def _sample(row: RowMapping) -> Sample:
    number = f"{row['sample_index'] + 1}"
    return Sample(
        id=row["trace_id"],
        label=f"{row['variant']} {number}".strip(),
        text=row["text"],
        text_length=row["text_length"],
        thoughts=row["thoughts"],
        thoughts_length=row["thoughts_length"] or 0,
        answer=row["answer"],
        correct=row["correct"],
        accepted=row["accepted"],
        proof=row["proof"],
        refused=row["refused"],
        error=row["error"],
        scores={name: row[name] for name in SCORED} | (row["signals"] or {}),
        facts={name: row[name] for name in FACTS if row[name] not in (None, 0)},
        steps=[step for step in row["step_texts"] if step],
        findings=[finding for raw in row["findings"] or () for finding in _findings(raw)],
        calls=[(str(call.get("call", "")), _shown(call.get("text"))) for call in row["calls"]],
        prompt=[(str(message.get("role", "")), _shown(message.get("content"))) for message in row["prompt"]],
    )


def _findings(raw: Mapping[str, Any]) -> Iterator[Finding]:
    """A stored finding: its step, and the quotation under the name of its kind."""
    for name, kind in (("false_equation", "false equation"), ("ungrounded", "ungrounded number")):
        if isinstance(quote := raw.get(name), str):
            yield Finding(int(raw["step"]), kind, quote)


def _shown(value: Any) -> str:
    return str(value or "")[:MAX_SHOWN]
