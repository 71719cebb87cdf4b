"""The facts of a report: everything known about one round, as plain values."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from db.queries import Q
from tracemill.errors import UsageError
from tracemill.statistics import Paired
from trainer.compare import Compared, Side, compare
from trainer.report.nearest import nearest
from trainer.submit import control_name

#: Flips that are shown for each direction.
N_FLIPS = 4
#: Training examples that are shown beside each flip.
N_NEIGHBOURS = 2


@dataclass(frozen=True)
class Bins:
    """Counts of a score in equal bins between low and high, for two groups of traces."""

    low: float
    high: float
    trained: list[int]
    others: list[int]


@dataclass(frozen=True)
class Flip:
    """A question that the adapter flipped: both traces, and the examples with the most similar questions."""

    flip: str
    question: str
    gold: str | None
    benchmark: str
    before: str | None
    after: str | None
    nearest: list[dict[str, Any]]


@dataclass(frozen=True)
class Cost:
    """The cost of a round. Tokens are those of answers; the price is in the currency of the models' settings."""

    traces: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    engine_seconds: float = 0.0
    price: float = 0.0
    fit_seconds: float = 0.0
    evaluation_tokens: int = 0


@dataclass(frozen=True)
class Control:
    """The control arm: its state, and, once it is measured, the comparison with the round."""

    name: str
    state: str
    compared: list[Compared]
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """All facts of one round."""

    name: str
    spec: dict[str, Any]
    metrics: dict[str, Any]
    finished: str
    evaluations: list[dict[str, Any]]
    before_after: list[Compared]
    control: Control | None
    breakdown: dict[str, list[Compared]]
    scores: dict[str, Bins]
    stages: list[dict[str, Any]]
    flips: list[Flip]
    flipped: dict[str, int]
    cost: Cost

    @property
    def whole(self) -> Compared:
        """Before against after, on all benchmarks together."""
        return together(self.before_after)

    def as_json(self) -> dict[str, Any]:
        """All values for machines."""
        values = vars(self) | {
            "before_after": [c.as_json() for c in self.before_after],
            "whole": self.whole.as_json(),
            "breakdown": {by: [c.as_json() for c in cells] for by, cells in self.breakdown.items()},
            "scores": {name: asdict(bins) for name, bins in self.scores.items()},
            "flips": [asdict(flip) for flip in self.flips],
            "cost": asdict(self.cost),
            "control": None,
        }
        if self.control is not None:
            compared = [c.as_json() for c in self.control.compared]
            values["control"] = {"name": self.control.name, "state": self.control.state, "compared": compared}
        return values


def together(compared: Sequence[Compared]) -> Compared:
    """Several benchmarks as one benchmark."""
    tables = [c.table for c in compared]
    return Compared("all benchmarks", Paired(*(sum(column) for column in zip(*tables, strict=True))))


def facts(connection: Connection, reader: Connection, name: str) -> Facts:
    """The facts of the round `name`: what views hold by `reader`, the rest by `connection`.

    Raises UsageError when the round is unknown or not evaluated yet.
    """
    row = connection.execute(Q["round_by_name"], {"name": name}).mappings().one_or_none()
    if row is None:
        raise UsageError(f"no round '{name}'. `tracemill rounds` lists all rounds.")
    before_after = compare(reader, Side(name, "before"), Side(name, "after"))
    if not before_after:
        raise UsageError(f"round '{name}' is {row['state']}: there is nothing to report before it is evaluated")
    values = {"round": name, "jobs": row["spec"]["select"]["jobs"]}
    stages = [dict(stage) for stage in reader.execute(Q["report_stages"], values).mappings()]
    flips, flipped = _flips(reader, name)
    evaluations = connection.execute(Q["round_evaluations"], {"round_id": row["id"]}).mappings()
    return Facts(
        name=name,
        spec=row["spec"],
        metrics=row["metrics"],
        finished=f"{row['finished_at'] or row['created_at']:%Y-%m-%d}",
        evaluations=[dict(evaluation) for evaluation in evaluations],
        before_after=before_after,
        control=_control(connection, reader, name),
        breakdown=_breakdown(reader, name),
        scores=_scores(reader, values),
        stages=stages,
        flips=flips,
        flipped=flipped,
        cost=_cost(reader, values, row["metrics"], sum(int(stage["tokens"]) for stage in stages)),
    )


def _control(connection: Connection, reader: Connection, name: str) -> Control | None:
    row = connection.execute(Q["round_by_name"], {"name": control_name(name)}).mappings().one_or_none()
    if row is None:
        return None
    return Control(row["name"], row["state"], compare(reader, Side(row["name"]), Side(name)), row["metrics"])


def _breakdown(reader: Connection, name: str) -> dict[str, list[Compared]]:
    breakdown: dict[str, list[Compared]] = {}
    for row in reader.execute(Q["report_breakdown"], {"round": name}):
        table = Paired(row.both, row.first, row.second, row.neither)
        breakdown.setdefault(row.by, []).append(Compared(row.value, table))
    return breakdown


def _scores(reader: Connection, values: dict[str, Any]) -> dict[str, Bins]:
    scores: dict[str, Bins] = {}
    for row in reader.execute(Q["report_scores"], values):
        bins = scores.setdefault(row.name, Bins(row.low, row.high, [0] * row.bins, [0] * row.bins))
        bins.trained[row.bin - 1], bins.others[row.bin - 1] = row.trained, row.others
    return scores


def _flips(reader: Connection, name: str) -> tuple[list[Flip], dict[str, int]]:
    """Some flips of each direction, and the number of all flips."""
    rows = reader.execute(Q["report_flips"], {"round": name, "most": N_FLIPS}).all()
    trained = reader.execute(Q["report_questions"], {"round": name})
    known = {row.question_id: row.question for row in trained} if rows else {}
    neighbours = nearest([row.question for row in rows], known, N_NEIGHBOURS)
    question_ids = {neighbour.question_id for of_flip in neighbours for neighbour in of_flip}
    values = {"round": name, "questions": sorted(question_ids)}
    examples = {row["question_id"]: dict(row) for row in reader.execute(Q["report_examples"], values).mappings()}
    flips = [
        Flip(
            flip=row.flip,
            question=row.question,
            gold=row.gold,
            benchmark=row.benchmark,
            before=row.before_text,
            after=row.after_text,
            nearest=[examples[near.question_id] | {"similarity": near.similarity} for near in of_flip],
        )
        for row, of_flip in zip(rows, neighbours, strict=True)
    ]
    return flips, {"gained": 0, "lost": 0} | {row.flip: row.of for row in rows}


def _cost(reader: Connection, values: dict[str, Any], metrics: dict[str, Any], trained_tokens: int) -> Cost:
    by_purpose = {row.purpose: row for row in reader.execute(Q["report_cost"], values)}
    teach, evaluate = by_purpose.get("teach") or by_purpose.get("round"), by_purpose.get("evaluate")
    return Cost(
        traces=int(teach.traces) if teach else 0,
        tokens=int(teach.tokens) if teach else 0,
        trained_tokens=trained_tokens,
        engine_seconds=float(teach.engine_seconds) if teach else 0.0,
        price=float(teach.cost) if teach else 0.0,
        fit_seconds=float(metrics.get("seconds", 0)),
        evaluation_tokens=int(evaluate.tokens) if evaluate else 0,
    )
