"""The table of evaluations, which measure rounds."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, now, one_of


class Evaluation(Base):
    """The result of one finished evaluation job for one round, before or after training."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    round_id: Mapped[int] = mapped_column(ForeignKey("rounds.id", ondelete="CASCADE"))
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    stage: Mapped[str]
    #: Name of the base model's job, which the results before and after share.
    benchmark: Mapped[str]
    questions: Mapped[int]
    #: Failed questions that are not among them.
    left_out: Mapped[int] = mapped_column(server_default="0")
    #: Right first samples in any form, and in a requested form.
    correct: Mapped[int]
    correct_strict: Mapped[int]
    #: The mean over the questions of the share of right samples, with its 95 % interval over questions.
    accuracy: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    #: With several samples: pass@k and majority@k for k = 1, 2, 4, … and for all samples.
    pass_at: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    majority_at: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    #: Means over all samples; faithfulness and coherence over the judged ones.
    steps: Mapped[float | None]
    faithfulness: Mapped[float | None]
    coherence: Mapped[float | None]
    tokens_out: Mapped[float | None]
    created_at: Mapped[datetime] = now()
    __table_args__ = (UniqueConstraint("round_id", "job_id"), one_of("stage", "before", "after"))
