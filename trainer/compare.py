"""Comparison of two sides on the same questions: a round before and after, or two rounds after training.

A comparison of two rounds is about these two students: its interval is over questions. A comparison of several seeds of
two recipes is about the recipes: its interval is over seeds.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeVar

from sqlalchemy import Connection

from db.queries import Q
from tracemill.statistics import Interval, Paired, PairedShares, difference, holm, mcnemar, over_runs, paired_t, share

#: A difference counts as shown when its p value is lower, where several are read together its p value by Holm.
LEVEL = 0.05


class Side(NamedTuple):
    """A round's base model (`before`) or its student (`after`)."""

    round: str
    stage: Literal["before", "after"] = "after"


@dataclass(frozen=True)
class Compared:
    """One benchmark that both sides answered."""

    benchmark: str
    #: Of the first sample of each question.
    table: Paired
    #: Of all samples, for a benchmark with several samples of a question; None for one.
    shares: PairedShares | None = None
    #: The p value by Holm's method among the tests that are read together; None for a test alone.
    p_holm: float | None = None

    @property
    def questions(self) -> int:
        """The number of questions that both sides answered."""
        return sum(self.table)

    @property
    def first(self) -> Interval:
        """The share of right answers of the first side, with its interval over questions."""
        if self.shares is not None:
            return self.shares.shares[0]
        return share(self.table.both + self.table.first, self.questions)

    @property
    def second(self) -> Interval:
        """The share of right answers of the second side, with its interval over questions."""
        if self.shares is not None:
            return self.shares.shares[1]
        return share(self.table.both + self.table.second, self.questions)

    @property
    def difference(self) -> Interval:
        """Second minus first, with its interval over questions."""
        return difference(self.table) if self.shares is None else self.shares.difference

    @property
    def p(self) -> float:
        """The p value of McNemar's exact test; of several samples that of Student's paired test by question."""
        return mcnemar(self.table) if self.shares is None else self.shares.p

    @property
    def shown(self) -> bool:
        """Whether the difference is more than chance."""
        return is_shown(self)

    def as_json(self) -> dict[str, Any]:
        """All values for machines; shares and their difference are from 0 to 1."""
        intervals = {name: getattr(self, name)._asdict() for name in ("first", "second", "difference")}
        flips = {"only_first": self.table.first, "only_second": self.table.second}
        agreed = {"both": self.table.both, "neither": self.table.neither}
        tests = {"over": "questions", "p": self.p, "p_holm": self.p if self.p_holm is None else self.p_holm}
        return {"benchmark": self.benchmark, "questions": self.questions, **intervals, **tests, **flips, **agreed}


@dataclass(frozen=True)
class OverSeeds:
    """One benchmark that several seeds of two recipes answered: a share of right answers for each seed."""

    benchmark: str
    firsts: tuple[float, ...]
    seconds: tuple[float, ...]
    #: As in `Compared`.
    p_holm: float | None = None

    @property
    def differences(self) -> tuple[float, ...]:
        """Second minus first, by seed."""
        return tuple(second - first for first, second in zip(self.firsts, self.seconds, strict=True))

    @property
    def difference(self) -> Interval | None:
        """Their mean with its interval over seeds; None without a spread."""
        return over_runs(self.differences)

    @property
    def p(self) -> float:
        """The p value of Student's test of the differences by seed."""
        return paired_t(self.differences)

    @property
    def shown(self) -> bool:
        """Whether the difference is more than chance."""
        return is_shown(self)

    def as_json(self) -> dict[str, Any]:
        """All values for machines; shares and their differences are from 0 to 1."""
        interval = self.difference._asdict() if self.difference else None
        shares = {"firsts": self.firsts, "seconds": self.seconds}
        tests = {"over": "seeds", "p": self.p, "p_holm": self.p if self.p_holm is None else self.p_holm}
        return {"benchmark": self.benchmark, "seeds": len(self.firsts), **shares, "difference": interval, **tests}


Test = TypeVar("Test", Compared, OverSeeds)


def is_shown(test: Compared | OverSeeds) -> bool:
    """Whether the difference of a test is more than chance, with regard to the tests that are read with it."""
    return (test.p if test.p_holm is None else test.p_holm) < LEVEL


def family(tests: Sequence[Test]) -> list[Test]:
    """The tests with their p values by Holm's method, because they are read together. One alone stays as it is."""
    if len(tests) < 2:
        return list(tests)
    return [replace(test, p_holm=p) for test, p in zip(tests, holm([test.p for test in tests]), strict=True)]


def compare(
    connection: Connection, first: Side, second: Side, dev: Collection[str] = (), *, is_dev: bool = False
) -> list[Compared]:
    """The benchmarks of both sides by name, as one family of tests: those that are not in `dev`, or those that are."""
    sides = {"first": first.round, "first_stage": first.stage, "second": second.round, "second_stage": second.stage}
    rows = connection.execute(Q["paired_answers"], sides)
    return family([compared(row.benchmark, row) for row in rows if (row.benchmark in dev) is is_dev])


def compared(name: str, row: Any) -> Compared:
    """A row with the counts of first samples, and the sums of shares if a question has several samples."""
    table = Paired(row.both, row.first, row.second, row.neither)
    sums = (row.first_shares, row.second_shares, row.first_squares, row.second_squares, row.products)
    return Compared(name, table, PairedShares(sum(table), row.samples, *sums) if row.samples > 1 else None)


def together(parts: Sequence[Compared]) -> Compared:
    """Several benchmarks as one benchmark."""
    table = Paired(*map(sum, zip(*(part.table for part in parts), strict=True)))
    if all(part.shares is None for part in parts):
        return Compared("all benchmarks", table)
    shares = [part.shares or _shares(part.table) for part in parts]
    questions, _, *sums = map(sum, zip(*shares, strict=True))
    return Compared("all benchmarks", table, PairedShares(questions, max(each.samples for each in shares), *sums))


def _shares(table: Paired) -> PairedShares:
    """One sample of each question: its share is 0 or 1."""
    first, second = table.both + table.first, table.both + table.second
    return PairedShares(sum(table), 1, first, second, first, second, table.both)


def over_seeds(pairs: Sequence[Sequence[Compared]]) -> list[OverSeeds]:
    """The benchmarks of every pair of rounds over their seeds, as one family of tests.

    `pairs` are the results of `compare`, one for each seed.
    """
    tables = [{test.benchmark: test for test in pair} for pair in pairs]
    common = [name for name in tables[0] if all(name in table for table in tables)]
    return family(
        [
            OverSeeds(
                name,
                tuple(table[name].first.value for table in tables),
                tuple(table[name].second.value for table in tables),
            )
            for name in common
        ]
    )


def percent(interval: Interval) -> str:
    """Like `23.5 [20.1, 27.9]`: percent with the 95 % interval."""
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * value for value in interval))


def points(interval: Interval) -> str:
    """Like `+8.7 [+3.2, +14.0]`: percentage points with the 95 % interval."""
    return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in interval))


def p_value(p: float) -> str:
    """Like `p = 0.031`, or `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def worth(test: Compared | OverSeeds) -> str:
    """Like `+8.7 points [+3.2, +14.0] over 400 questions, p = 0.002`. Several tests have their p value by Holm too."""
    over = f"{test.questions} questions" if isinstance(test, Compared) else f"{len(test.firsts)} seeds"
    gain = test.difference
    if isinstance(test, OverSeeds) and gain is None:
        return f"{100 * test.differences[0]:+.1f} points in each of {over}, so there is no interval"
    assert gain is not None
    value, _, interval = points(gain).partition(" ")
    holm_too = "" if test.p_holm is None else f", by Holm {p_value(test.p_holm)}"
    return f"{value} points {interval} over {over}, {p_value(test.p)}{holm_too}"


def verdict(test: Compared | OverSeeds) -> str:
    """Like `+8.7 points [+3.2, +14.0] over 400 questions, p = 0.002: more than chance`."""
    return f"{worth(test)}: {'more than chance' if test.shown else 'no difference is shown'}"
