"""Claims and stores a second of a fleet, with a budget and without one.

Processes claim questions, one a message as in a large fleet, and then store an answer to each. No model answers. The
jobs with and without a budget have the same questions, and take turns.
"""

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from uuid import uuid4

from benchmarks.common import main
from benchmarks.scripted import questions
from benchmarks.stack import factory
from db.jobs import JobSpec
from db.migrate import prepare
from producer.enqueue import enqueue
from tracemill import stack as local
from tracemill.engines import Completion
from tracemill.errors import StackError
from tracemill.methods import named, prompts
from tracemill.policy import Policy
from tracemill.sampling import Sampling
from workers.claims import ClaimKey
from workers.generate import Claim, _claim, _store
from workers.visit import Answer, Link, Visit

SETTINGS = """
[local]
generate = []
judge = ""
train = false
flower = false
"""
#: The fleet. Each thread claims one question at a time.
PROCESSES, THREADS = 8, 4
#: Each job is measured so often. The figures are over all turns.
TURNS = 3
#: Far above what is spent.
BUDGET = 1e12
TEXT = "We add the two numbers.\nThe answer is 5."


def measure(quick: bool) -> dict[str, float]:
    each = PROCESSES * (40 if quick else 200)
    with factory(SETTINGS) as ours:
        local.up(ours.folder, lambda _: [], prepare=prepare)  # Postgres and Redis alone
        jobs = {f"{name}{turn}": name for turn in range(TURNS) for name in ("", "budget_")}
        shares = {_opened(job, each, bool(name)): name for job, name in jobs.items()}
        spawn = multiprocessing.get_context("spawn")
        together = spawn.Barrier(PROCESSES + 1)
        fleet = [spawn.Process(target=_work, args=(n, list(shares), together), daemon=True) for n in range(PROCESSES)]
        for process in fleet:
            process.start()
        seconds = {f"{name}{what}_per_s": 0.0 for name in ("", "budget_") for what in ("claims", "stores")}
        for name in shares.values():
            for what in ("claims", "stores"):
                seconds[f"{name}{what}_per_s"] += _seconds(together)
        for process in fleet:
            process.join()
            if process.exitcode:
                raise StackError(f"a process of the fleet ended with {process.exitcode}")
    return {key: TURNS * each / value for key, value in seconds.items()}


def _opened(name: str, each: int, has_budget: bool) -> tuple[int, tuple[int, ...]]:
    """A new job, with its questions."""
    spec = JobSpec(
        name=f"job-{name}",
        purpose="teach",
        model="teacher",
        method="cot",
        prompts=prompts(named("cot"), []),
        samples=1,
        sampling=Sampling(max_tokens=500),
        policy=Policy(),
        source="benchmark",
        budget=BUDGET if has_budget else None,
        budget_unit="tokens" if has_budget else None,
    )
    done = enqueue(questions(each), spec, dataset="claims", domain="math")
    return done.job_id, tuple(range(1, each + 1))


def _seconds(together: Barrier) -> float:
    """The duration of one phase of the fleet."""
    together.wait()
    start = time.monotonic()
    together.wait()
    return time.monotonic() - start


def _work(number: int, jobs: list[tuple[int, tuple[int, ...]]], together: Barrier) -> None:
    """One process of the fleet: it claims its share of each job, then stores it."""
    with ThreadPoolExecutor(THREADS) as threads:
        for job_id, question_ids in jobs:
            keys = [ClaimKey(job_id, question_id, uuid4()) for question_id in question_ids[number::PROCESSES]]
            together.wait()
            claims = list(threads.map(_claim, keys))
            together.wait()
            together.wait()
            list(threads.map(_answer, claims))
            together.wait()


def _answer(claim: Claim | None) -> None:
    if claim is None:
        raise StackError("a claim was refused")
    (call,) = claim.chains[""]
    completion = Completion(TEXT, tokens=12, finish_reason="stop")
    visit = Visit([Answer(claim.missing[0], (Link(call, completion, 50, 0.0, 0.1, 0.1),))])
    visit.usage.tokens_in, visit.usage.tokens_out = 50, 12
    if not _store((claim, visit)):
        raise StackError(f"question {claim.question_id} lacks a trace")


if __name__ == "__main__":
    main("claims", measure)
