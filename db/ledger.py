"""The ledger: what each claim has cost, and the slices of budgets from which processes reserve the cost of claims.

A row of the ledger is written once, however often its transaction is repeated.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, now, one_of


class Payment(Base):
    """The cost of one claim of a teacher, in jobs with a budget, or of one verification by a judge, in all jobs."""

    __tablename__ = "ledger"
    claim_id: Mapped[UUID] = mapped_column(primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    #: teacher or judge
    payee: Mapped[str]
    #: The worker of the claim was lost, perhaps after it had sent its requests. `spent` is then the reservation.
    is_lost: Mapped[bool] = mapped_column(server_default=text("false"))
    tokens_in: Mapped[int] = mapped_column(server_default="0")
    tokens_out: Mapped[int] = mapped_column(server_default="0")
    #: In the currency of the settings.
    cost: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default="0")
    #: In the unit of the job's budget; 0 without a budget.
    spent: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default="0")
    #: The reservation that the real cost replaced, because the lost worker came back.
    replaced: Mapped[float] = mapped_column(DOUBLE_PRECISION, server_default="0")
    created_at: Mapped[datetime] = now()
    __table_args__ = (
        one_of("payee", "teacher", "judge"),
        # `job_progress` sums these rows; the teacher's other ones are the traces.
        Index("ix_ledger_job_id", "job_id", postgresql_where=text("payee = 'judge' or is_lost")),
    )


class BudgetSlice(Base):
    """A part of a job's budget that one process may reserve. Otherwise each claim would wait for the lock of its job.

    Nothing gives a slice back. Near the end of the budget the process that lacks money ends the slices of all.
    """

    __tablename__ = "budget_slices"
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    #: The process, as in `job_questions.owner`.
    owner: Mapped[str] = mapped_column(primary_key=True)
    #: What it has not reserved yet, in the unit of the job's budget.
    remainder: Mapped[float] = mapped_column(DOUBLE_PRECISION)
