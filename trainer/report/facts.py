"""The facts of a report: everything known about one round, as plain values."""

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection

from db.queries import Q
from tracemill.errors import UsageError
from trainer.compare import Compared, OverSeeds, Side, compare, compared, over_seeds, together
from trainer.recipes import dev_jobs, seeds_of
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
    #: The tiers of the round's jobs (rows of the view `job_tiers`).
    tiers: list[dict[str, Any]]
    #: The rounds of this recipe with other seeds, and this round; one name if there are no others.
    seeds: list[str]
    #: Before against after over these seeds, on all benchmarks together; None for one seed.
    over_seeds: OverSeeds | None
    #: The control arms of these seeds against them; None unless two are measured.
    control_over_seeds: OverSeeds | None

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
            "over_seeds": self.over_seeds and self.over_seeds.as_json(),
            "control_over_seeds": self.control_over_seeds and self.control_over_seeds.as_json(),
        }
        if self.control is not None:
            compared = [c.as_json() for c in self.control.compared]
            values["control"] = {"name": self.control.name, "state": self.control.state, "compared": compared}
        return values


def facts(connection: Connection, reader: Connection, name: str) -> Facts:
    """The facts of the round `name`: what views hold by `reader`, the rest by `connection`.

    Raises UsageError when the round is unknown or not evaluated yet.
    """
    row = connection.execute(Q["round_by_name"], {"name": name}).mappings().one_or_none()
    if row is None:
        raise UsageError(f"no round '{name}'. `tracemill rounds` lists all rounds.")
    dev = dev_jobs(dict(row))
    before_after = compare(reader, Side(name, "before"), Side(name, "after"), dev)
    if not before_after:
        raise UsageError(f"round '{name}' is {row['state']}: there is nothing to report before it is evaluated")
    values = {"round": name, "jobs": row["spec"]["select"]["jobs"]}
    stages = [dict(stage) for stage in reader.execute(Q["report_stages"], values).mappings()]
    flips, flipped = _flips(reader, name, dev)
    evaluations = connection.execute(Q["round_evaluations"], {"round_id": row["id"]}).mappings()
    seeds = seeds_of(connection, dict(row))
    return Facts(
        name=name,
        spec=row["spec"],
        metrics=row["metrics"],
        finished=f"{row['finished_at'] or row['created_at']:%Y-%m-%d}",
        evaluations=[dict(each) for each in evaluations if each["benchmark"] not in dev],
        before_after=before_after,
        control=_control(connection, reader, name, dev),
        breakdown=_breakdown(reader, name, dev),
        scores=_scores(reader, values),
        stages=stages,
        flips=flips,
        flipped=flipped,
        cost=_cost(reader, values, row["metrics"], sum(int(stage["tokens"]) for stage in stages)),
        tiers=[dict(tier) for tier in reader.execute(Q["report_tiers"], values).mappings()],
        seeds=seeds,
        over_seeds=_over_seeds([compare(reader, Side(seed, "before"), Side(seed), dev) for seed in seeds]),
        control_over_seeds=_over_seeds([compare(reader, Side(control_name(seed)), Side(seed), dev) for seed in seeds]),
    )


def _over_seeds(pairs: list[list[Compared]]) -> OverSeeds | None:
    """All benchmarks together over the seeds that have both sides; None for fewer than two."""
    measured = [[together(pair)] for pair in pairs if pair]
    return over_seeds(measured)[0] if len(measured) > 1 else None


def _control(connection: Connection, reader: Connection, name: str, dev: list[str]) -> Control | None:
    row = connection.execute(Q["round_by_name"], {"name": control_name(name)}).mappings().one_or_none()
    if row is None:
        return None
    return Control(row["name"], row["state"], compare(reader, Side(row["name"]), Side(name), dev), row["metrics"])


def _breakdown(reader: Connection, name: str, dev: list[str]) -> dict[str, list[Compared]]:
    breakdown: dict[str, list[Compared]] = {}
    for row in reader.execute(Q["report_breakdown"], {"round": name, "dev": dev}):
        breakdown.setdefault(row.by, []).append(compared(row.value, row))
    return breakdown


def _scores(reader: Connection, values: dict[str, Any]) -> dict[str, Bins]:
    scores: dict[str, Bins] = {}
    for row in reader.execute(Q["report_scores"], values):
        bins = scores.setdefault(row.name, Bins(row.low, row.high, [0] * row.bins, [0] * row.bins))
        bins.trained[row.bin - 1], bins.others[row.bin - 1] = row.trained, row.others
    return scores


def _flips(reader: Connection, name: str, dev: list[str]) -> tuple[list[Flip], dict[str, int]]:
    """Some flips of each direction, and the number of all flips."""
    rows = reader.execute(Q["report_flips"], {"round": name, "most": N_FLIPS, "dev": dev}).all()
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
