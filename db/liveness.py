"""The tables of the factory's processes: their heartbeats, the leader among the feeders, and paused models."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, now

#: The questions that a process holds.
CLAIMED = text("owner is not null and state in ('running', 'generated')")


class Process(Base):
    """One process of the factory, updated by its heartbeat every few seconds."""

    __tablename__ = "processes"
    #: kind.pid.random@host: its name on its claims, in Celery and in Flower. No other process ever has it.
    name: Mapped[str] = mapped_column(primary_key=True)
    #: producer, generate, verify or train; worker if Celery's own command started it
    kind: Mapped[str]
    host: Mapped[str]
    #: The queues of its tasks, and the number of tasks at a time.
    queues: Mapped[list[Any]]
    concurrency: Mapped[int]
    #: Producers only: whether it is the leader or on standby.
    leads: Mapped[bool]
    #: Its current problem; null if it has none.
    trouble: Mapped[str | None]
    #: When it began to take tasks; before that, when it started.
    started_at: Mapped[datetime] = now()
    seen_at: Mapped[datetime] = now()
    #: People do not see it: its host noticed its end, or Celery's own command started it.
    is_hidden: Mapped[bool] = mapped_column(server_default=text("false"))


class Leader(Base):
    """The feeder that leads: a single row with its lease."""

    __tablename__ = "leader"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: The fencing number; each new leader has a higher one.
    fence: Mapped[int] = mapped_column(server_default="0")
    #: The process of the leader, `host:pid:random`.
    name: Mapped[str | None]
    #: The time since which it has led without losing Postgres.
    since: Mapped[datetime] = now()
    lease_until: Mapped[datetime] = now()
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)


class ModelPause(Base):
    """A paused alias (`db.pauses`)."""

    __tablename__ = "model_pauses"
    alias: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    #: When the next question may be sent as a trial.
    retry_at: Mapped[datetime]
