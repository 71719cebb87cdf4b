"""The counts of jobs, their comparison with the rows that they count, and the priors that are fitted to such rows."""

from datetime import datetime

from sqlalchemy import Connection, ForeignKey, Identity
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base
from db.queries import Q


class JobCount(Base):
    """A change of a job's counts, or a sum of changes. A job's counts are the sums over its rows.

    Triggers insert the changes in the transaction of the counted rows, so that no process waits for another one. The
    feeder adds them up (`db/sql/counts.sql`). Nothing subtracts deleted traces: they go only with their job.
    `db.counts.differences` does not compare `spent`.
    """

    __tablename__ = "job_counts"
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    questions: Mapped[int] = mapped_column(server_default="0")
    done: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    traces: Mapped[int] = mapped_column(server_default="0")
    #: Verdicts of the job's verifier.
    verified: Mapped[int] = mapped_column(server_default="0")
    correct: Mapped[int] = mapped_column(server_default="0")
    accepted: Mapped[int] = mapped_column(server_default="0")
    tokens_in: Mapped[int] = mapped_column(server_default="0")
    tokens_out: Mapped[int] = mapped_column(server_default="0")
    cost: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default="0")
    engine_seconds: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default="0")
    first_trace_at: Mapped[datetime | None]
    last_trace_at: Mapped[datetime | None]
    #: Cost in the unit of the job's budget. The statements of the ledger insert it, not a trigger.
    spent: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default="0")


class JobPrior(Base):
    """The Beta distribution of the acceptance rates of a job's questions, for a job that gives questions up."""

    __tablename__ = "job_priors"
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    alpha: Mapped[float] = mapped_column(DOUBLE_PRECISION)
    beta: Mapped[float] = mapped_column(DOUBLE_PRECISION)
    #: Number of settled traces to which the feeder fitted it.
    traces: Mapped[int]


def differences(connection: Connection, *, correct: bool = False) -> list[str]:
    """A sentence for each job whose counts differ from its rows. With `correct` they are equal afterwards."""
    rows = connection.execute(Q["correct_counts"], {"corrects": correct}).mappings()
    return [_in_words(**row) for row in rows]


def _in_words(job: str, **differences: float) -> str:
    wrong = ", ".join(f"{difference:+g} {name}" for name, difference in differences.items() if difference)
    return f"the counts of job {job} are wrong: {wrong}"
