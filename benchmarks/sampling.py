"""What adaptive sampling saves against a fixed number of traces, and what it costs in yield and in hard questions.

Eight recorded samples of every question are replayed: the policy is shown as many of them as it asks for, by the very
functions that a verify worker calls, in its order. `--job NAME` replays a finished job of the configured database
instead of made-up records.

Made-up acceptance rates are Beta-distributed. Real ones differ a lot between questions, and many of them are tiny
(Schaeffer et al. 2025, "How Do Large Language Monkeys Get Their Power (Laws)?"): a question is easy or hopeless for a
given model more often than it is in between. So alpha + beta = 1, a U, or a J where the mean is low. The same means
with alpha + beta = 4, questions more alike, show how much depends on that (`narrow`).
"""

import argparse
import random
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import NamedTuple

from sqlalchemy import text

from benchmarks.common import main
from db.session import transaction
from producer.shares import LEAST_WINDOW
from tracemill.errors import TracemillError, UsageError
from workers.adaptive import Decision, Plan, decide, fit, next_target

STOPPING = Plan(max_traces=8, batch=2, enough=2, give_up=0.0)
THRESHOLDS = (0.02, 0.05, 0.1)
MEANS = {"easy": 0.7, "mixed": 0.4, "hard": 0.1}
WIDE, NARROW = 1.0, 4.0
#: How many questions of a job are on their way at a time.
WINDOW = LEAST_WINDOW


class Question(NamedTuple):
    """One question's recorded samples, in the order in which they were asked for."""

    accepted: Sequence[bool]
    tokens: Sequence[int]


class Replayed(NamedTuple):
    """What a policy asked for."""

    traces: list[int]
    visits: int


def measure(quick: bool, job: str | None = None) -> dict[str, float]:
    """Tokens saved and yield kept, as shares of what the recorded fixed number of traces cost and brought."""
    if job is not None:
        questions = recorded(job)
        return {"job_questions": len(questions)} | compared("job", questions) | mixed("job", questions)
    figures: dict[str, float] = {}
    for name, mean in MEANS.items():
        questions = made_up(mean, WIDE, 1_000 if quick else 4_000)
        figures |= compared(name, questions) | mixed(name, questions)
        figures |= compared(f"{name}_narrow", made_up(mean, NARROW, 1_000 if quick else 4_000))
    return figures


def compared(name: str, questions: Sequence[Question]) -> dict[str, float]:
    """Stopping alone, stopping in whole batches, and giving up, each beside all recorded samples of every question."""
    everything = [len(question.accepted) for question in questions]
    figures: dict[str, float] = {}
    for suffix, replayed in _policies(questions):
        saved = 1 - _tokens(questions, replayed.traces) / _tokens(questions, everything)
        kept = _reached(questions, replayed.traces) / max(1, _reached(questions, everything))
        figures[f"{name}_tokens_saved{suffix}"] = saved
        figures[f"{name}_yield_kept{suffix}"] = kept
        figures[f"{name}_visits{suffix}"] = replayed.visits / len(questions)
    return figures


def mixed(name: str, questions: Sequence[Question]) -> dict[str, float]:
    """Which share of the accepted traces comes from the hardest and the easiest third.

    Thirds of the questions that have an accepted trace at all: the others give none under any policy. By accepted
    samples in the record, ties in the order of the questions.
    """
    solvable = [number for number, question in enumerate(questions) if any(question.accepted)]
    solvable.sort(key=lambda number: sum(questions[number].accepted))
    third = len(solvable) // 3
    parts = {"hard_third": solvable[:third], "easy_third": solvable[len(solvable) - third :]}
    everything = Replayed([len(question.accepted) for question in questions], len(questions))
    figures: dict[str, float] = {}
    for suffix, (traces, _) in [("_fixed", everything), *_policies(questions)]:
        accepted = [sum(question.accepted[:took]) for question, took in zip(questions, traces, strict=True)]
        for part, numbers in parts.items():
            figures[f"{name}_{part}{suffix}"] = sum(accepted[number] for number in numbers) / max(1, sum(accepted))
    return figures


def _policies(questions: Sequence[Question]) -> list[tuple[str, Replayed]]:
    plan = replace(STOPPING, max_traces=max(len(question.accepted) for question in questions))
    return [
        ("", replay(plan, questions)),
        ("_whole_batches", replay(plan, questions, whole_batches)),
        *((f"_giving_up_{least}", replay(replace(plan, give_up=least), questions)) for least in THRESHOLDS),
    ]


def replay(
    plan: Plan, questions: Sequence[Question], wanted: Callable[[Plan, int, int], int] = next_target
) -> Replayed:
    """How many traces each question gets, visit by visit.

    A window of questions is on its way, first come, first served; one that gets another visit goes to the end, and one
    that is settled makes room for the next. Each visit is counted before it is decided on.
    """
    traces = [0] * len(questions)
    counts: Counter[tuple[int, int]] = Counter()
    visits = 0
    fresh = iter(range(len(questions)))
    queue = deque(islice(fresh, WINDOW))
    while queue:
        number = queue.popleft()
        samples = questions[number].accepted
        accepted = sum(samples[: traces[number]])
        counts[traces[number], accepted] -= 1
        traces[number] = wanted(plan, traces[number], accepted)
        accepted = sum(samples[: traces[number]])
        counts[traces[number], accepted] += 1
        visits += 1
        prior = fit(counts) if plan.give_up else None
        if decide(plan, prior, traces[number], accepted) is Decision.more:
            queue.append(number)
        else:
            queue.extend(islice(fresh, 1))
    return Replayed(traces, visits)


def whole_batches(plan: Plan, traces: int, accepted: int) -> int:
    """The simpler rule: a full batch at each visit, whatever is still needed."""
    return min(plan.max_traces, traces + plan.batch)


def _tokens(questions: Sequence[Question], traces: Sequence[int]) -> int:
    return sum(sum(question.tokens[:took]) for question, took in zip(questions, traces, strict=True))


def _reached(questions: Sequence[Question], traces: Sequence[int]) -> int:
    """Questions with enough accepted traces: the yield."""
    assert STOPPING.enough is not None
    pairs = zip(questions, traces, strict=True)
    return sum(sum(question.accepted[:took]) >= STOPPING.enough for question, took in pairs)


def made_up(mean: float, spread: float, size: int) -> list[Question]:
    """Questions whose acceptance rates have this mean, and spread as Beta with alpha + beta = `spread`.

    Lengths are log-normal, a question's traces more alike than those of different questions, and up to half as long
    again where the model is mostly wrong, as wrong answers are.
    """
    chances = random.Random(f"{mean} {spread} {size}")
    questions = []
    for _ in range(size):
        rate = chances.betavariate(mean * spread, (1 - mean) * spread)
        length = 200 * (1.5 - rate / 2) * chances.lognormvariate(0, 0.4)
        accepted = [chances.random() < rate for _ in range(STOPPING.max_traces)]
        questions.append(Question(accepted, [round(length * chances.lognormvariate(0, 0.3)) for _ in accepted]))
    return questions


def recorded(job: str) -> list[Question]:
    """The real samples of a finished job; questions that failed are left out.

    Raises UsageError for a job that there is not, is not done, or did not take the same number of traces everywhere.
    """
    with transaction() as connection:
        row = connection.execute(
            text("select state, questions, failed from job_progress where job = :job"), {"job": job}
        ).one_or_none()
        samples = connection.execute(
            text(
                "select array_agg(accepted order by variant, sample_index) as accepted, "
                "array_agg(tokens_out order by variant, sample_index) as tokens "
                "from trace_scores where job = :job group by question_id order by question_id"
            ),
            {"job": job},
        ).all()
    if row is None:
        raise UsageError(f"there is no job '{job}': `tracemill jobs list` shows all")
    if row.state != "done" or not samples:
        raise UsageError(f"job '{job}' is {row.state} with traces of {len(samples)} questions: wait until it is done")
    most = max(len(question.accepted) for question in samples)
    whole = [question for question in samples if len(question.accepted) == most and None not in question.accepted]
    if row.questions - len(whole) > row.failed:
        raise UsageError(
            f"job '{job}' has {most} verified traces of only {len(whole)} of its {row.questions} questions, and what "
            "would have come next of the others is not recorded: replay a job with a fixed number of samples"
        )
    return [Question(question.accepted, question.tokens) for question in whole]


if __name__ == "__main__":
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--job")
    options, sys.argv[1:] = own.parse_known_args()
    try:
        main("sampling", partial(measure, job=options.job))
    except TracemillError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
