"""The forecast of a pilot: what each arm would give and cost over the whole source, and which arm to take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from db.question_figures import QuestionFigures
from tracemill.adaptive import Decision, Plan, decide, next_target
from tracemill.forecasts import compare_ratios, forecast_ratio, forecast_share
from tracemill.statistics import Interval


@dataclass(frozen=True)
class ArmTraces:
    """The traces of one arm so far."""

    #: The arm's row of the view `job_progress`.
    progress: Mapping[str, Any]
    #: The questions of the sample that are done, and the number of the others.
    rows: Sequence[QuestionFigures]
    missing: int

    @property
    def job(self) -> str:
        return str(self.progress["job"])

    @property
    def accepted(self) -> list[int]:
        """Accepted traces of each question."""
        return [row.accepted for row in self.rows]

    @property
    def tokens(self) -> list[float]:
        """Tokens of each question."""
        return [float(sum(row.tokens)) for row in self.rows]

    @property
    def costs(self) -> list[float]:
        """The cost of each question. The judge's part is known for the whole job, and each gets an equal share."""
        judge = float(self.progress["judge_cost"]) / max(1, self.progress["done"])
        return [row.cost + judge for row in self.rows]


@dataclass(frozen=True)
class ArmForecast:
    """One arm. The intervals hold the result of a job over the whole source; None where nothing can be estimated."""

    job: str
    #: Questions of the sample that are done, those that are not, and the traces.
    questions: int
    missing: int
    traces: int
    #: Share of accepted traces, and of questions with an accepted trace.
    accepted_share: Interval
    answered_share: Interval
    tokens_per_accepted: Interval | None
    cost_per_accepted: Interval | None
    #: Sums over the whole source. The engine time is that of one worker process, without its start.
    accepted: Interval
    tokens: Interval | None
    cost: Interval | None
    engine_seconds: Interval | None
    #: Shares of traces.
    bare: Interval
    cut_off: Interval
    malformed: Interval
    #: Share of the tokens that adaptive sampling would save; None if a question has no more traces than `enough`.
    adaptive_saving: Interval | None


@dataclass(frozen=True)
class Recommendation:
    """The arm to take, and the arms that the pilot cannot tell from it."""

    job: str
    #: What decides: cost if all arms have prices, otherwise tokens.
    by: Literal["cost", "tokens"]
    #: Their cost or tokens per accepted trace divided by those of the recommended arm; None where it is not known.
    alike: Mapping[str, Interval | None]


def forecast(arm: ArmTraces, whole: int, enough: int) -> ArmForecast:
    """Forecast an arm over `whole` questions. `enough`: accepted traces at which adaptive sampling stops."""
    rows, max_traces = arm.rows, int(arm.progress["most"])
    traces, accepted = [row.traces for row in rows], arm.accepted
    accepted_share = forecast_share(accepted, traces, whole)
    plan = Plan(max_traces=max_traces, batch=max_traces, enough=enough, give_up=0.0)
    adaptive = None
    if enough < max_traces:
        adaptive = forecast_ratio([adaptive_tokens(plan, row) for row in rows], arm.tokens, whole)

    def total(amounts: Sequence[float]) -> Interval | None:
        of_one = forecast_ratio(amounts, [1] * len(rows), whole)
        return of_one and Interval(*(value * whole for value in of_one))

    return ArmForecast(
        job=arm.job,
        questions=len(rows),
        missing=arm.missing,
        traces=sum(traces),
        accepted_share=accepted_share,
        answered_share=forecast_share([int(hits > 0) for hits in accepted], [1] * len(rows), whole),
        tokens_per_accepted=forecast_ratio(arm.tokens, accepted, whole),
        cost_per_accepted=forecast_ratio(arm.costs, accepted, whole),
        accepted=Interval(*(share * whole * max_traces for share in accepted_share)),
        tokens=total(arm.tokens),
        cost=total(arm.costs),
        engine_seconds=total([row.engine_seconds for row in rows]),
        bare=forecast_share([row.bare for row in rows], traces, whole),
        cut_off=forecast_share([row.cut_off for row in rows], traces, whole),
        malformed=forecast_share([row.malformed for row in rows], traces, whole),
        adaptive_saving=adaptive and Interval(1 - adaptive.value, max(0.0, 1 - adaptive.high), 1 - adaptive.low),
    )


def adaptive_tokens(plan: Plan, row: QuestionFigures) -> float:
    """The tokens that a question would take under a plan, by replay of its traces.

    The mean over all rotations of their order, because each order was as likely.
    """
    n = row.traces
    total = 0
    for start in range(n):
        order = [(start + offset) % n for offset in range(n)]
        seen = accepted = 0
        while True:
            seen = min(n, next_target(plan, seen, accepted))
            accepted = sum(row.outcomes[index] for index in order[:seen])
            if seen == n or decide(plan, None, seen, accepted) is not Decision.more:
                break
        total += sum(row.tokens[index] for index in order[:seen])
    return total / n


def recommend(arms: Sequence[ArmTraces], forecasts: Sequence[ArmForecast]) -> Recommendation | None:
    """The arm with the cheapest accepted traces, among those whose yield interval overlaps that of the best arm.

    None if no arm has an accepted trace.
    """
    pairs = [(arm, each) for arm, each in zip(arms, forecasts, strict=True) if each.tokens_per_accepted]
    if not pairs:
        return None
    by_cost = all(each.cost_per_accepted for _, each in pairs)
    best = max((each.accepted_share for _, each in pairs), key=lambda share: share.value)
    candidates = {arm.job: arm for arm, each in pairs if each.accepted_share.high >= best.low}
    take = min(candidates.values(), key=lambda arm: sum(arm.costs if by_cost else arm.tokens) / sum(arm.accepted))
    ratios = {job: _compare(arm, take, by_cost) for job, arm in candidates.items() if arm is not take}
    alike = {job: ratio for job, ratio in ratios.items() if ratio is None or ratio.low <= 1}
    return Recommendation(take.job, "cost" if by_cost else "tokens", alike)


def _compare(first: ArmTraces, second: ArmTraces, by_cost: bool) -> Interval | None:
    """The first arm's amount per accepted trace divided by the second's, over the questions that both have."""

    def table(arm: ArmTraces) -> dict[str, tuple[float, int]]:
        amounts = arm.costs if by_cost else arm.tokens
        return {row.content_hash: (amount, row.accepted) for row, amount in zip(arm.rows, amounts, strict=True)}

    of_first, of_second = table(first), table(second)
    both = [question for question in of_first if question in of_second]
    amounts, accepted = ([of_first[question][column] for question in both] for column in (0, 1))
    other_amounts, other_accepted = ([of_second[question][column] for question in both] for column in (0, 1))
    return compare_ratios((amounts, accepted), (other_amounts, other_accepted))
