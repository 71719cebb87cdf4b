"""Adaptive sampling: a question's end by success or hopelessness, and the prior from the job's questions."""

import math
import random
import time
from collections import Counter

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from benchmarks.sampling import Question, made_up, replay
from tracemill.adaptive import Decision, Plan, Prior, chance, decide, fit, next_target

PLAN = Plan(max_traces=8, batch=2, enough=2, give_up=0.05)

numbers = st.integers(1, 12)
shapes = st.floats(0.01, 50)
priors = st.builds(Prior, shapes, shapes)
plans = st.builds(
    Plan, max_traces=numbers, batch=numbers, enough=st.none() | numbers, give_up=st.sampled_from([0.0, 0.05, 1.0])
)


def course(plan: Plan, prior: Prior | None, outcomes: list[bool]) -> tuple[int, int, Decision]:
    """The path of one question to its decision: (traces, accepted, decision)."""
    traces = accepted = 0
    decision = Decision.more
    while decision is Decision.more:
        traces = next_target(plan, traces, accepted)
        accepted = sum(outcomes[:traces])
        decision = decide(plan, prior, traces, accepted)
    return traces, accepted, decision


def sampled(prior: Prior, questions: int, plan: Plan, seed: int) -> Counter[tuple[int, int]]:
    """The counts of a job whose questions' rates are drawn from `prior`."""
    chances = random.Random(seed)
    counts: Counter[tuple[int, int]] = Counter()
    for _ in range(questions):
        rate = chances.betavariate(*prior)
        counts[course(plan, None, [chances.random() < rate for _ in range(plan.max_traces)])[:2]] += 1
    return counts


def urn(prior: Prior, traces: int, accepted: int, plan: Plan) -> float:
    """The same chance by simulating each trace as a draw from a Pólya urn of that prior."""
    if plan.enough is None or accepted >= plan.enough:
        return 1.0
    if traces >= plan.max_traces:
        return 0.0
    next_one = (prior.alpha + accepted) / (prior.alpha + prior.beta + traces)
    return next_one * urn(prior, traces + 1, accepted + 1, plan) + (1 - next_one) * urn(
        prior, traces + 1, accepted, plan
    )


# The chance of reaching enough.


@given(priors, plans, st.data())
def test_the_chance_is_that_of_drawing_trace_by_trace(prior: Prior, plan: Plan, data: st.DataObject) -> None:
    traces = data.draw(st.integers(0, plan.max_traces))
    accepted = data.draw(st.integers(0, traces))
    assert chance(prior, traces, accepted, plan) == pytest.approx(urn(prior, traces, accepted, plan), rel=1e-6)


@given(priors, plans, st.data())
def test_an_accepted_trace_never_lowers_the_chance(prior: Prior, plan: Plan, data: st.DataObject) -> None:
    traces = data.draw(st.integers(1, plan.max_traces))
    accepted = data.draw(st.integers(0, traces - 1))
    assert chance(prior, traces, accepted, plan) <= chance(prior, traces, accepted + 1, plan) + 1e-9


@given(priors, plans, st.data())
def test_a_refused_trace_never_raises_the_chance(prior: Prior, plan: Plan, data: st.DataObject) -> None:
    traces = data.draw(st.integers(0, plan.max_traces - 1))
    accepted = data.draw(st.integers(0, traces))
    assert chance(prior, traces + 1, accepted, plan) <= chance(prior, traces, accepted, plan) + 1e-9


@pytest.mark.parametrize(("traces", "accepted", "expected"), [(3, 2, 1.0), (8, 1, 0.0), (7, 0, 0.0), (9, 1, 0.0)])
def test_a_reached_goal_is_certain_and_an_unreachable_one_impossible(
    traces: int, accepted: int, expected: float
) -> None:
    assert chance(Prior(1, 1), traces, accepted, PLAN) == expected


# The decision, and the next request.


@pytest.mark.parametrize(
    ("traces", "accepted", "decision"),
    [
        (2, 2, Decision.enough),
        (8, 2, Decision.enough),
        (2, 0, Decision.hopeless),
        (2, 1, Decision.more),
        (7, 1, Decision.more),
        (8, 1, Decision.spent),
        (10, 0, Decision.spent),
    ],
)
def test_a_question_of_a_job_of_easy_and_hopeless_ones_is_decided(
    traces: int, accepted: int, decision: Decision
) -> None:
    assert decide(PLAN, Prior(0.1, 0.9), traces, accepted) is decision


def test_a_chance_of_exactly_give_up_is_not_given_up() -> None:
    exactly = chance(Prior(1, 1), 6, 0, PLAN)  # both of the two remaining traces: 1/8 * 2/9
    assert exactly == pytest.approx(1 / 36)
    assert decide(Plan(8, 2, 2, exactly), Prior(1, 1), 6, 0) is Decision.more
    assert decide(Plan(8, 2, 2, math.nextafter(exactly, 1)), Prior(1, 1), 6, 0) is Decision.hopeless


def test_no_question_is_hopeless_before_the_job_has_results() -> None:
    assert decide(Plan(8, 2, 2, 1.0), None, 7, 0) is Decision.more


@given(priors, plans, st.lists(st.booleans(), min_size=12, max_size=12))
def test_giving_up_is_off_at_0(prior: Prior, plan: Plan, outcomes: list[bool]) -> None:
    assume(plan.give_up == 0)
    assert course(plan, prior, outcomes)[2] is not Decision.hopeless


@given(st.none() | priors, plans, st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_question_never_gets_more_than_its_budget(prior: Prior | None, plan: Plan, outcomes: list[bool]) -> None:
    traces, accepted, decision = course(plan, prior, outcomes)
    assert 1 <= traces <= plan.max_traces
    assert (decision is Decision.enough) == (plan.enough is not None and accepted >= plan.enough)
    assert decision is not Decision.spent or traces == plan.max_traces


@given(plans, st.lists(st.booleans(), min_size=12, max_size=12))
def test_no_trace_is_requested_beyond_enough(plan: Plan, outcomes: list[bool]) -> None:
    assume(plan.enough is not None)
    traces, accepted, decision = course(plan, None, outcomes)
    assert accepted <= (plan.enough or 0)
    assert decision is Decision.spent or outcomes[traces - 1]


@given(plans, st.data())
def test_a_visit_takes_at_least_one_trace_and_at_most_a_batch(plan: Plan, data: st.DataObject) -> None:
    traces = data.draw(st.integers(0, plan.max_traces - 1))
    accepted = data.draw(st.integers(0, traces))
    assert traces < next_target(plan, traces, accepted) <= min(plan.max_traces, traces + plan.batch)


@given(numbers, st.none() | priors, st.lists(st.booleans(), min_size=12, max_size=12))
def test_a_fixed_number_of_traces_is_one_visit(max_traces: int, prior: Prior | None, outcomes: list[bool]) -> None:
    fixed = Plan(max_traces=max_traces, batch=max_traces, enough=None, give_up=0.0)
    assert next_target(fixed, 0, 0) == max_traces
    assert course(fixed, prior, outcomes) == (max_traces, sum(outcomes[:max_traces]), Decision.spent)


# The spread of a job's questions.


@pytest.mark.parametrize("plan", [Plan(8, 8, None, 0.0), Plan(8, 2, 2, 0.0), Plan(8, 1, 1, 0.0), Plan(32, 4, 4, 0.0)])
@pytest.mark.parametrize("true", [Prior(0.1, 0.9), Prior(0.4, 0.6), Prior(2.8, 1.2), Prior(1, 1)])
def test_the_spread_is_recovered_despite_early_stopping(true: Prior, plan: Plan) -> None:
    prior = fit(sampled(true, 5_000, plan, seed=1))
    assert prior is not None
    assert prior.alpha / sum(prior) == pytest.approx(true.alpha / sum(true), abs=0.03)
    assert sum(prior) == pytest.approx(sum(true), rel=0.25)


def test_giving_up_does_not_bias_the_spread() -> None:
    true = Prior(0.3, 1.2)
    chances = random.Random(2)
    counts: Counter[tuple[int, int]] = Counter()
    for _ in range(5_000):
        rate = chances.betavariate(*true)
        counts[course(PLAN, true, [chances.random() < rate for _ in range(8)])[:2]] += 1
    prior = fit(counts)
    assert prior is not None
    assert prior == pytest.approx(true, rel=0.15)


def likelihood(prior: Prior, counts: Counter[tuple[int, int]]) -> float:
    def beta(a: float, b: float) -> float:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    return sum(
        questions * (beta(prior.alpha + accepted, prior.beta + traces - accepted) - beta(*prior))
        for (traces, accepted), questions in counts.items()
    )


@pytest.mark.parametrize("seed", range(10))
def test_no_other_spread_makes_the_counts_likelier(seed: int) -> None:
    chances = random.Random(seed)
    true = Prior(chances.uniform(0.05, 3), chances.uniform(0.05, 3))
    counts = sampled(true, 1_000, Plan(8, 2, chances.choice([1, 2, 4]), 0.0), seed)
    prior = fit(counts)
    assert prior is not None
    # The imaginary question may move the fit by less than one real question.
    reached = likelihood(prior, counts) + 0.05
    for _ in range(300):
        near = Prior(prior.alpha * chances.lognormvariate(0, 0.4), prior.beta * chances.lognormvariate(0, 0.4))
        assert likelihood(near, counts) <= reached


def test_too_few_questions_tell_nothing() -> None:
    assert fit({}) is None
    assert fit({(0, 0): 1_000}) is None
    assert fit({(2, 0): 31}) is None
    assert fit({(2, 0): 32}) is not None
    assert fit({(2, 0): 16, (2, 1): 15, (0, 0): 99}) is None


@given(
    st.dictionaries(
        st.integers(1, 16).flatmap(lambda traces: st.tuples(st.just(traces), st.integers(0, traces))),
        st.integers(0, 10**12),
        min_size=1,
        max_size=20,
    )
)
@example({(8, 0): 1_000})
@example({(8, 8): 1_000})
@example({(8, 4): 10**12})
@example({(1, 0): 50})
@example({(8, 0): 10**12, (8, 8): 10**12})
@example({(16, 0): 505, (2, 1): 2, (5, 1): 1, (10, 1): 2, (15, 1): 2})
def test_any_counts_give_a_usable_spread(counts: dict[tuple[int, int], int]) -> None:
    prior = fit(counts)
    assume(prior is not None)
    assert prior is not None
    assert 0 < prior.alpha < math.inf
    assert 0 < prior.beta < math.inf
    assert 0 <= chance(prior, 2, 0, PLAN) <= chance(prior, 2, 1, PLAN) <= 1


def test_the_prior_follows_questions_that_all_fail_or_all_succeed() -> None:
    none, every = fit({(8, 0): 200}), fit({(8, 8): 200})
    assert none is not None
    assert every is not None
    assert chance(none, 0, 0, PLAN) < 0.01
    assert chance(every, 0, 0, PLAN) > 0.99


def test_questions_with_equal_rates_have_no_spread() -> None:
    prior = fit({(8, 4): 10_000})
    assert prior is not None
    assert chance(prior, 4, 0, PLAN) == pytest.approx(chance(prior, 4, 1, Plan(8, 2, 3, 0.0)), abs=0.01)


def test_fitting_a_prior_is_fast() -> None:
    counts = sampled(Prior(0.4, 0.6), 2_000, Plan(64, 8, 8, 0.0), seed=3)
    best = math.inf
    for _ in range(5):
        start = time.process_time()
        fit(counts)
        best = min(best, time.process_time() - start)
    assert best < 0.005


# A whole job, as the benchmark replays it.


def test_stopping_alone_spends_less_and_loses_no_question() -> None:
    questions = made_up(0.4, 1.0, 400)
    taken = replay(Plan(8, 2, 2, 0.0), questions).traces
    assert sum(taken) < 0.75 * 8 * len(questions)
    for question, took in zip(questions, taken, strict=True):
        assert sum(question.accepted[:took]) == min(2, sum(question.accepted))


def test_giving_up_spends_a_third_less_on_hard_questions() -> None:
    questions = made_up(0.1, 1.0, 400)
    stopping, giving_up = (sum(replay(Plan(8, 2, 2, least), questions).traces) for least in (0.0, 0.05))
    assert giving_up < 0.67 * stopping


def test_a_job_too_small_to_judge_gives_up_nothing() -> None:
    questions = [Question([False] * 8, [1] * 8)] * 31
    assert replay(Plan(8, 2, 2, 1.0), questions).traces == [8] * len(questions)
