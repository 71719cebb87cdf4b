"""Adaptive sampling: decide after each visit how many traces a question gets. Pure functions, no clock, no database.

A job requests `enough` accepted traces a question, with at most `max_traces` traces and at most `batch` a visit. The
acceptance rates of its questions follow a Beta distribution. `fit` estimates it from the verdicts so far, and `chance`
gives the probability that a question reaches `enough` within `max_traces`. Below `give_up` the question is hopeless.
Giving up keeps fewer traces of hard questions, so it is off by default.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

#: Questions that a fit needs. If the first few fail by chance, a fit to them would give up the others. In 60 simulated
#: jobs of 60 questions with one trace in ten accepted, the worst job kept 25 % of its yield with 4 to 16 questions and
#: 40 % with 32. A wait for 32 questions instead of 4 costs such a job three points of saving, and a job of 200 one.
MIN_QUESTIONS = 32

#: Upper limit of alpha + beta. Beyond it even a hundred traces a question cannot tell the rates of questions apart.
MAX_CONCENTRATION = 1000.0

#: Newton's steps at most. A fit takes four to fifteen.
MAX_STEPS = 60

#: A gain of log-likelihood that may be a rounding error, relative to the whole.
ROUNDING = 1e-13


@dataclass(frozen=True)
class Plan:
    """How many traces a question gets."""

    max_traces: int
    #: Traces of one visit at most.
    batch: int
    #: Stop at this number of accepted traces; None: always `max_traces`.
    enough: int | None
    #: Stop where the chance to reach `enough` is below this; 0 means never.
    give_up: float


class Prior(NamedTuple):
    """Beta distribution of the acceptance rate of a job's questions."""

    alpha: float
    beta: float


class Decision(StrEnum):
    """The decision about a question after a visit."""

    #: The question has the accepted traces that it needs.
    enough = "enough"
    #: The question is too unlikely to reach them within `max_traces`.
    hopeless = "hopeless"
    #: The question has `max_traces` traces.
    spent = "spent"
    #: The question gets another visit.
    more = "more"


def decide(plan: Plan, prior: Prior | None, traces: int, accepted: int) -> Decision:
    """The decision about a question, by its numbers of verified and accepted traces.

    Without a prior no question is hopeless.
    """
    if plan.enough is not None and accepted >= plan.enough:
        return Decision.enough
    if traces >= plan.max_traces:
        return Decision.spent
    # Unless the plan gives up, a question that cannot reach `enough` continues: its accepted traces count too.
    if plan.give_up > 0 and prior is not None and chance(prior, traces, accepted, plan) < plan.give_up:
        return Decision.hopeless
    return Decision.more


def next_target(plan: Plan, traces: int, accepted: int) -> int:
    """The number of traces that the question shall have after its next visit: at least one more, at most `max_traces`.

    A visit also adds at most the accepted traces that are missing, because any trace beyond them may be superfluous. So
    no rule without giving up spends fewer traces; the price is a few more visits, each of them shorter.
    """
    extra = plan.batch
    if plan.enough is not None:
        extra = min(extra, plan.enough - accepted)
    return min(plan.max_traces, traces + max(1, extra))


def chance(prior: Prior, traces: int, accepted: int, plan: Plan) -> float:
    """Chance that a question with these numbers of traces has `enough` accepted ones when it has `max_traces`.

    The posterior predictive of the beta-binomial: the result of the remaining traces, over the posterior of the
    question's rate. 1 for a question that has reached `enough`.
    """
    need = (plan.enough or 0) - accepted
    left = max(0, plan.max_traces - traces)
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
    term = total = math.exp(log_term)  # exactly `need` more are accepted; each term gives the next
    for more in range(need, left):
        term *= (left - more) * (alpha + more) / ((more + 1) * (beta + left - more - 1))
        total += term
    return min(1.0, total)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def fit(counts: Mapping[tuple[int, int], int]) -> Prior | None:
    """The prior with the highest likelihood, given a job's counts; None with too few questions.

    `counts`: (traces, accepted) -> number of questions. It should hold every visited question in its present state. The
    number of traces of a question depends on its outcomes, which does no harm: each further visit was decided by the
    observed outcomes alone. So the probability of a question's course is the beta-binomial one times factors that are
    equal under every prior, and the best prior is the same (the likelihood principle). Settled questions alone would
    mislead, because easy questions are settled first.

    One imaginary question with two traces is added, in three thirds with 0, 1 and 2 accepted ones, as Beta(1, 1)
    predicts. It keeps alpha and beta above 0 if no trace, or every trace, is accepted. Real questions outweigh it.

    Newton's method on (log alpha, log beta), with Minka's fixed point (2000, "Estimating a Dirichlet distribution")
    where a step would lower the likelihood.
    """
    seen = {key: questions for key, questions in counts.items() if key[0] > 0 and questions > 0}
    if sum(seen.values()) < MIN_QUESTIONS:
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
    for _ in range(MAX_STEPS):
        if prior.alpha + prior.beta > MAX_CONCENTRATION:
            # With one rate for all questions, the best estimate is the share of accepted traces.
            return Prior(MAX_CONCENTRATION * mean, MAX_CONCENTRATION * (1 - mean))
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
    """Element i is the weight of the questions whose number is greater than i."""
    weights: dict[int, float] = {}
    for number, weight in numbers:
        weights[number] = weights.get(number, 0.0) + weight
    backwards = accumulate(weights.get(number, 0.0) for number in range(max(weights), 0, -1))
    return list(backwards)[::-1]


class _Tally(NamedTuple):
    """The counts as the likelihood needs them, in lists as long as a question has traces.

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
        """The next priors to try, the boldest first: Newton's step, parts of it, and a step that surely climbs."""
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
        if highest > 0:  # Not concave here: change the curvature so that it is.
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
