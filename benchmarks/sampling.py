"""Savings of adaptive sampling relative to a fixed number of traces, and its cost in yield and in hard questions.

The benchmark replays eight recorded samples of every question. The policy sees as many of them as it requests, through
the functions of a verify worker, in its order. `--job NAME` replays a finished job of the configured database instead
of made-up records.

Made-up acceptance rates are Beta-distributed. Real rates differ a lot between questions, and many are tiny (Schaeffer
et al. 2025, "How Do Large Language Monkeys Get Their Power (Laws)?"). For a given model most questions are either easy
or hopeless. So alpha + beta = 1, a U, or a J where the mean is low. `narrow` has the same means with alpha + beta = 4:
the questions are more alike. It shows the influence of this choice.
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
from producer.shares import MIN_WINDOW
from tracemill.adaptive import Decision, Plan, decide, fit, next_target
from tracemill.errors import TracemillError, UsageError

STOPPING = Plan(max_traces=8, batch=2, enough=2, give_up=0.0)
THRESHOLDS = (0.02, 0.05, 0.1)
MEANS = {"easy": 0.7, "mixed": 0.4, "hard": 0.1}
WIDE, NARROW = 1.0, 4.0
#: Questions of a job that are in progress at a time.
WINDOW = MIN_WINDOW


class Question(NamedTuple):
    """The recorded samples of a question, in the order of their requests."""

    accepted: Sequence[bool]
    tokens: Sequence[int]


class Replayed(NamedTuple):
    """The requests of a policy: traces of each question, and visits."""

    traces: list[int]
    visits: int


def measure(quick: bool, job: str | None = None) -> dict[str, float]:
    """Tokens saved and yield kept, as shares of the cost and yield of the recorded fixed number of traces."""
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
    """Stopping alone, stopping in whole batches, and giving up, relative to all recorded samples of every question."""
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
    """Shares of the accepted traces that come from the hardest and from the easiest third of the questions.

    Only questions with an accepted trace count: the others yield none under any policy. They are sorted by accepted
    samples in the record; ties keep the order of the questions.
    """
    solvable = [number for number, question in enumerate(questions) if any(question.accepted)]
    solvable.sort(key=lambda number: sum(questions[number].accepted))
    third = len(solvable) // 3
    parts = {"hard_third": solvable[:third], "easy_third": solvable[len(solvable) - third :]}
    everything = Replayed([len(question.accepted) for question in questions], len(questions))
    figures: dict[str, float] = {}
    for suffix, (traces, _) in [("_fixed", everything), *_policies(questions)]:
        accepted = [sum(question.accepted[:n_traces]) for question, n_traces in zip(questions, traces, strict=True)]
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
    plan: Plan, questions: Sequence[Question], target: Callable[[Plan, int, int], int] = next_target
) -> Replayed:
    """The number of traces of each question, simulated visit by visit.

    A window of questions is in progress, in order. A question with another visit moves to the end of the queue. The
    next question replaces a settled one. Each visit is counted before its decision.
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
        traces[number] = target(plan, traces[number], accepted)
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
    """The simpler rule: a full batch at each visit, even if fewer traces are needed."""
    return min(plan.max_traces, traces + plan.batch)


def _tokens(questions: Sequence[Question], traces: Sequence[int]) -> int:
    return sum(sum(question.tokens[:n_traces]) for question, n_traces in zip(questions, traces, strict=True))


def _reached(questions: Sequence[Question], traces: Sequence[int]) -> int:
    """The yield: questions with enough accepted traces."""
    assert STOPPING.enough is not None
    pairs = zip(questions, traces, strict=True)
    return sum(sum(question.accepted[:n_traces]) >= STOPPING.enough for question, n_traces in pairs)


def made_up(mean: float, spread: float, size: int) -> list[Question]:
    """Questions with Beta-distributed acceptance rates: this mean, and alpha + beta = `spread`.

    Lengths are log-normal. Traces of one question are more alike than those of different questions. Where the model is
    mostly wrong they are up to half as long again, because wrong answers are longer.
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
    """The real samples of a finished job, without its failed questions.

    Raises UsageError if the job does not exist, is not done, or has different numbers of traces for its questions.
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
    n_samples = max(len(question.accepted) for question in samples)
    whole = [question for question in samples if len(question.accepted) == n_samples and None not in question.accepted]
    if row.questions - len(whole) > row.failed:
        raise UsageError(
            f"job '{job}' has {n_samples} verified traces of only {len(whole)} of its {row.questions} questions. The "
            "next traces of the others are not recorded: replay a job with a fixed number of samples"
        )
    return [Question(question.accepted, question.tokens) for question in whole]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--job")
    options, sys.argv[1:] = parser.parse_known_args()
    try:
        main("sampling", partial(measure, job=options.job))
    except TracemillError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
