"""The tables of calibrations and canaries, which measure judges."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, now


class Calibration(Base):
    """One measurement on labelled traces: how well a judge's signal separates right from wrong ones."""

    __tablename__ = "calibrations"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    #: The model alias of the judge, and its model at that time.
    judge: Mapped[str]
    model: Mapped[str]
    signal: Mapped[str]
    source: Mapped[str]
    n_right: Mapped[int]
    n_wrong: Mapped[int]
    #: Area under the ROC curve, with its 95 % interval.
    auc: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    #: Share of traces where "score at least 0.5" equals the label, with its 95 % interval.
    agreement: Mapped[float]
    agreement_low: Mapped[float]
    agreement_high: Mapped[float]
    #: The reliability curve: {low, high, count, mean, right} a bin.
    bins: Mapped[list[Any]]
    created_at: Mapped[datetime] = now()
    __table_args__ = (Index("ix_calibrations_judge_model_signal", "judge", "model", "signal", "id"),)


class Canary(Base):
    """A job's judge rates a trace that tries to influence the judge (`tracemill.verification.judge`)."""

    __tablename__ = "canaries"
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attack: Mapped[str] = mapped_column(primary_key=True)
    #: The trace that holds the attack.
    name: Mapped[str]
    #: The rating without and with the attack, 0 to 1.
    plain: Mapped[float | None]
    attacked: Mapped[float | None]
    fooled: Mapped[bool]
    created_at: Mapped[datetime] = now()
