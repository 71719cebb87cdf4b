"""Comparison of two sides on the same questions: a round before and after, or two rounds after training."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection

from db.queries import Q
from tracemill.statistics import Interval, Paired, difference, mcnemar, share

#: A difference counts as shown when its p value, by McNemar's exact test, is lower.
LEVEL = 0.05


class Side(NamedTuple):
    """A round's base model (`before`) or its student (`after`)."""

    round: str
    stage: Literal["before", "after"] = "after"


@dataclass(frozen=True)
class Compared:
    """One benchmark that both sides answered."""

    benchmark: str
    table: Paired

    @property
    def questions(self) -> int:
        """The number of questions that both sides answered."""
        return sum(self.table)

    @property
    def first(self) -> Interval:
        """The share of right answers of the first side."""
        return share(self.table.both + self.table.first, self.questions)

    @property
    def second(self) -> Interval:
        """The share of right answers of the second side."""
        return share(self.table.both + self.table.second, self.questions)

    @property
    def difference(self) -> Interval:
        """Second minus first."""
        return difference(self.table)

    @property
    def p(self) -> float:
        """The p value of McNemar's exact test."""
        return mcnemar(self.table)

    @property
    def shown(self) -> bool:
        """Whether the difference is more than chance."""
        return self.p < LEVEL

    def as_json(self) -> dict[str, Any]:
        """All values for machines; shares and their difference are from 0 to 1."""
        intervals = {name: getattr(self, name)._asdict() for name in ("first", "second", "difference")}
        flips = {"only_first": self.table.first, "only_second": self.table.second}
        agreed = {"both": self.table.both, "neither": self.table.neither}
        return {"benchmark": self.benchmark, "questions": self.questions, **intervals, "p": self.p, **flips, **agreed}


def compare(connection: Connection, first: Side, second: Side) -> list[Compared]:
    """The benchmarks of both sides, by name."""
    sides = {"first": first.round, "first_stage": first.stage, "second": second.round, "second_stage": second.stage}
    rows = connection.execute(Q["paired_answers"], sides)
    return [Compared(row.benchmark, Paired(row.both, row.first, row.second, row.neither)) for row in rows]


def percent(interval: Interval) -> str:
    """Like `23.5 [20.1, 27.9]`: percent with the 95 % interval."""
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * value for value in interval))


def points(interval: Interval) -> str:
    """Like `+8.7 [+3.2, +14.0]`: percentage points with the 95 % interval."""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in interval))


def p_value(p: float) -> str:
    """Like `p = 0.031`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def verdict(compared: Compared) -> str:
    """Like `+8.7 points [+3.2, +14.0], p = 0.002: more than chance`."""
    value, _, interval = points(compared.difference).partition(" ")
    conclusion = "more than chance" if compared.shown else "no difference is shown"
    return f"{value} points {interval}, {p_value(compared.p)}: {conclusion}"
