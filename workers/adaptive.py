"""Adaptive sampling: how many traces a question gets, decided after each visit. Pure functions, no clock, no database.

A job asks for `enough` accepted traces a question, at most `most` traces, at most `batch` a visit. Questions of one
job have acceptance rates that are spread as a Beta distribution; fitted to what the job has seen so far (`fit`), it
tells the chance that a question reaches `enough` within `most` (`chance`). Where that is below `give_up` the question
is hopeless. Giving up keeps fewer traces of hard questions, and is off unless it is asked for.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

#: Questions below which nothing is said of their spread. A first few that happen to fail would give up the rest: in
#: simulated jobs of 60 questions with one trace in ten accepted, the worst of 60 jobs kept 25 % of its yield with 4 to
#: 16 questions and 40 % with 32. Waiting for 32 instead of 4 costs such a job three points of saving, one of 200 one.
FEWEST_QUESTIONS = 32

#: alpha + beta at most: beyond it all questions have one rate, as far as eight or a hundred traces of each can tell.
MOST_CONCENTRATED = 1000.0

#: Newton's steps at most. A fit takes four to fifteen.
STEPS = 60

#: A gain of log-likelihood that may be rounding, relative to the whole.
ROUNDING = 1e-13


@dataclass(frozen=True)
class Plan:
    """How many traces a question gets."""

    #: At most so many traces.
    most: int
    #: Asked for at most so many at a time.
    batch: int
    #: Stop at so many accepted traces; None: always `most`.
    enough: int | None
    #: Stop where the chance of reaching `enough` is below this; 0: never.
    give_up: float


class Prior(NamedTuple):
    """Beta distribution of a question's acceptance rate in one job."""

    alpha: float
    beta: float


class Decision(StrEnum):
    """What a visit's verdicts settle about a question."""

    #: It has the accepted traces that it needs.
    enough = "enough"
    #: It is too unlikely to get them within its budget.
    hopeless = "hopeless"
    #: It had its budget.
    spent = "spent"
    #: It gets another visit.
    more = "more"


def decide(plan: Plan, prior: Prior | None, traces: int, accepted: int) -> Decision:
    """What follows for a question with so many verified traces, so many of them accepted. Without a prior none is
    hopeless."""
    if plan.enough is not None and accepted >= plan.enough:
        return Decision.enough
    if traces >= plan.most:
        return Decision.spent
    # Also what cannot reach `enough` any more goes on unless giving up is asked for: its accepted traces count too.
    if plan.give_up > 0 and prior is not None and chance(prior, traces, accepted, plan) < plan.give_up:
        return Decision.hopeless
    return Decision.more


def next_wanted(plan: Plan, traces: int, accepted: int) -> int:
    """How many traces the question should have after the next visit: at least one more, never more than `most`.

    Never more than are still needed at the least, either: a trace beyond them could turn out to be one too many. So no
    rule that gives nothing up spends fewer traces; the price is a few more visits, each shorter.
    """
    ask = plan.batch
    if plan.enough is not None:
        ask = min(ask, plan.enough - accepted)
    return min(plan.most, traces + max(1, ask))


def chance(prior: Prior, traces: int, accepted: int, plan: Plan) -> float:
    """Chance that a question with so many traces, so many accepted, has `enough` accepted ones when it has `most`.

    The posterior predictive of the beta-binomial: what the remaining traces bring, over all rates that the question may
    have after what was seen of it. 1 where nothing is left to reach.
    """
    need = (plan.enough or 0) - accepted
    left = max(0, plan.most - traces)
    if need <= 0:
        return 1.0
    if need > left:
        return 0.0
    alpha, beta = prior.alpha + accepted, prior.beta + traces - accepted
    log_term = (
        math.lgamma(left + 1)
        - math.lgamma(need + 1)
        - math.lgamma(left - need + 1)
        + _log_beta(alpha + need, beta + left - need)
        - _log_beta(alpha, beta)
    )
    term = total = math.exp(log_term)  # exactly `need` more are accepted; then each greater number from the last
    for more in range(need, left):
        term *= (left - more) * (alpha + more) / ((more + 1) * (beta + left - more - 1))
        total += term
    return min(1.0, total)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def fit(counts: Mapping[tuple[int, int], int]) -> Prior | None:
    """The spread of acceptance rates under which a job's counts are likeliest; None with too few questions to tell.

    `counts`: (traces, accepted) -> number of questions. It should have every question that was visited, as it stands.
    That their numbers of traces depend on their outcomes does no harm: whether to ask once more was decided by what
    had been seen and by nothing else, so the chance of a question's course is its beta-binomial one times factors that
    are the same under every prior, and the likeliest prior is the same (the likelihood principle). Only the settled
    questions alone would mislead, because the easy ones are settled first.

    One imaginary question is counted along: two traces, a third of it with none accepted, a third with one, a third
    with both, which is how questions look whose rate may be any, Beta(1, 1). It keeps alpha and beta above 0 when no
    trace or every trace was accepted, and is outvoted by real ones.

    Newton's method on (log alpha, log beta), with Minka's fixed point (2000, "Estimating a Dirichlet distribution")
    where a step would not climb.
    """
    seen = {key: questions for key, questions in counts.items() if key[0] > 0 and questions > 0}
    if sum(seen.values()) < FEWEST_QUESTIONS:
        return None
    third = 1 / 3
    weights = [(2, 0, third), (2, 1, third), (2, 2, third)]
    weights += [(traces, accepted, float(questions)) for (traces, accepted), questions in seen.items()]
    tally = _Tally(
        _beyond((accepted, weight) for _, accepted, weight in weights),
        _beyond((traces - accepted, weight) for traces, accepted, weight in weights),
        _beyond((traces, weight) for traces, _, weight in weights),
    )
    mean = sum(tally.accepted) / sum(tally.traces)
    prior = Prior(2 * mean, 2 * (1 - mean))
    likelihood = tally.log_likelihood(prior)
    for _ in range(STEPS):
        if prior.alpha + prior.beta > MOST_CONCENTRATED:
            # With one rate for all, the likeliest is the share of accepted traces.
            return Prior(MOST_CONCENTRATED * mean, MOST_CONCENTRATED * (1 - mean))
        for climbed in tally.steps(prior):
            risen = tally.log_likelihood(climbed)
            if risen >= likelihood:
                break
        moved = max(abs(math.log(new / old)) for new, old in zip(climbed, prior, strict=True))
        gained, prior, likelihood = risen - likelihood, climbed, risen
        if moved < 1e-6 or gained <= ROUNDING * abs(likelihood):
            break
    return prior


def _beyond(numbers: Iterable[tuple[int, float]]) -> list[float]:
    """[i]: the weight of the questions whose number is greater than i."""
    weights: dict[int, float] = {}
    for number, weight in numbers:
        weights[number] = weights.get(number, 0.0) + weight
    backwards = accumulate(weights.get(number, 0.0) for number in range(max(weights), 0, -1))
    return list(backwards)[::-1]


class _Tally(NamedTuple):
    """All that the likelihood needs to know of the counts, in lists as long as a question has traces.

    A question with n traces, a of them accepted, has the likelihood
    prod(alpha + i, i < a) · prod(beta + i, i < n - a) / prod(alpha + beta + i, i < n).
    """

    accepted: list[float]
    refused: list[float]
    traces: list[float]

    def log_likelihood(self, prior: Prior) -> float:
        log = math.log
        both = prior.alpha + prior.beta
        return (
            sum(weight * log(prior.alpha + i) for i, weight in enumerate(self.accepted))
            + sum(weight * log(prior.beta + i) for i, weight in enumerate(self.refused))
            - sum(weight * log(both + i) for i, weight in enumerate(self.traces))
        )

    def steps(self, prior: Prior) -> Iterable[Prior]:
        """Where to go from a prior, the boldest first: Newton's step, parts of it, and one that surely climbs."""
        alpha, beta = prior
        up_a, bend_a = _slopes(self.accepted, alpha)
        up_b, bend_b = _slopes(self.refused, beta)
        down, bend = _slopes(self.traces, alpha + beta)
        # Slopes and curvatures by the logarithms of alpha and beta, which stay positive whatever the step.
        slope_a, slope_b = alpha * (up_a - down), beta * (up_b - down)
        curve_a = alpha**2 * (bend - bend_a) + slope_a
        curve_b = beta**2 * (bend - bend_b) + slope_b
        across = alpha * beta * bend
        half, apart = (curve_a + curve_b) / 2, math.hypot((curve_a - curve_b) / 2, across)
        highest = half + apart  # the greater eigenvalue
        if highest > 0:  # No hill here: turned into one as steep as this is hollow.
            curve_a, curve_b = curve_a - 2 * highest, curve_b - 2 * highest
        determinant = curve_a * curve_b - across**2
        if determinant > 0:
            step_a = (across * slope_b - curve_b * slope_a) / determinant
            step_b = (across * slope_a - curve_a * slope_b) / determinant
            longest = max(abs(step_a), abs(step_b), 2.0)
            for part in (2.0, 0.5, 0.1):
                yield Prior(alpha * math.exp(part * step_a / longest), beta * math.exp(part * step_b / longest))
        yield Prior(alpha * up_a / down, beta * up_b / down)


def _slopes(weights: list[float], x: float) -> tuple[float, float]:
    """First derivative of sum(weight · log(x + i)), and minus the second."""
    parts = [(weight / (x + i), x + i) for i, weight in enumerate(weights)]
    return sum(part for part, _ in parts), sum(part / at for part, at in parts)
