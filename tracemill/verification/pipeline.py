"""The one pipeline of verification: checks, programs, votes, a judge, acceptance.

The verify task and `tracemill verify FILE` run it. They differ only in where traces come from and verdicts go.
"""

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from time import perf_counter
from typing import TypeAlias

from tracemill.concurrency import once
from tracemill.errors import TracemillError, UsageError
from tracemill.event_loop import run
from tracemill.policy import Policy, Signal
from tracemill.text import storable
from tracemill.verification import scorers
from tracemill.verification.acceptance import Acceptance
from tracemill.verification.answers.voting import Vote, count
from tracemill.verification.checks import Findings, Item
from tracemill.verification.code.check import check_code
from tracemill.verification.code.sandbox import Sandbox
from tracemill.verification.judge import CanaryResult, Case, Judged
from tracemill.verification.judge.bounded import Judge, Request
from tracemill.verification.pool import BATCH, CheckPool
from tracemill.verification.verdict import Verdict

#: Asks a judge: a reply to each request, in order; None where there is no request.
AskJudge: TypeAlias = Callable[[Sequence[Request | None]], Sequence[Judged | None]]

JUDGED_BATCH = 8  # traces: a judge takes long, and a run that is killed loses the batches in flight


def verify(item: Item, *, policy: Policy | None = None, judge: str | None = None) -> Verdict:
    """Verify one trace. For several, `verify_many` is far faster: each call starts a child process.

    Raises the exceptions of `verify_many`.
    """
    return verify_many([item], policy=policy, judge=judge, workers=1)[0]


def verify_many(
    items: Iterable[Item], *, policy: Policy | None = None, judge: str | None = None, workers: int | None = None
) -> list[Verdict]:
    """Verify traces; one verdict each, in order. Child processes do the work and end with the call.

    `policy`: decides `Verdict.accepted`, and names the judge. `judge`: without a policy, a model alias of
    tracemill.toml that rates every trace. `workers`: child processes, by default one a core. A child gives each trace
    3 s and 1 GB. A program without a sandbox, and a judge that cannot be reached, are data: `Verdict.blocked_by`.

    Raises UsageError if the extra `verify` is not installed or the judge is unknown, EngineError if the judge cannot
    start or is dead, TracemillError if no child can be kept alive.
    """
    with closing(Verifier(workers, policy.judge if policy else judge)) as verifier:
        return verifier.verify(list(items), Acceptance(policy) if policy else None)


class Verifier:
    """The means of a process to verify: children for checks, threads that run programs, a judge. Thread-safe.

    Children start at first use. They end with `close`, and with this process.
    """

    def __init__(self, workers: int | None = None, judge: str | None = None) -> None:
        """`workers`: children, by default one a core. `judge`: a model alias, whose engine starts here.

        Raises UsageError or EngineError.
        """
        if not (find_spec("pebble") and find_spec("math_verify")):
            raise UsageError("math-verify and pebble are not installed. Run: pip install 'tracemill[verify]'")
        workers = workers or len(os.sched_getaffinity(0))
        #: Traces that are best verified in one call.
        self.batch_size = JUDGED_BATCH if judge else BATCH * workers
        self.judge = judge
        self._judge = Judge(judge) if judge else None
        self._workers = workers
        self._pool = CheckPool(workers)
        self._scorer_pools: dict[str, CheckPool] = {}
        self._lock = threading.Lock()
        self._programs = ThreadPoolExecutor(workers, thread_name_prefix="program")

    def canaries(self) -> list[CanaryResult]:
        """Whether attacks in a trace move the judge's ratings. Raises EngineError when the judge cannot be asked."""
        return run(self._judge.canaries()) if self._judge else []

    def verify(
        self, items: Sequence[Item], acceptance: Acceptance | None = None, ask: AskJudge | None = None
    ) -> list[Verdict]:
        """One verdict for each trace, in order.

        `acceptance`: without it no trace is accepted or refused, and the judge rates every trace. `ask`: a judge in
        place of the verifier's own. Raises TracemillError when nothing can be verified any more, and EngineDead when
        the judge is dead.
        """
        findings, blocked = self._check(items)
        verdicts = [
            Verdict(findings[index], vote, blocked_by=blocked.get(index))
            for index, vote in enumerate(self._votes(items, findings))
        ]
        ask = ask or (self._judge.ask if self._judge else None)
        requests = [_request(item, verdict, acceptance) for item, verdict in zip(items, verdicts, strict=True)]
        replies = ask(requests) if ask and any(requests) else [None] * len(items)
        return [_conclude(*each, acceptance) for each in zip(items, verdicts, replies, strict=True)]

    def _check(self, items: Sequence[Item]) -> tuple[list[Findings], dict[int, TracemillError]]:
        """The findings of each trace, programs run; and, by index, why a program or a scorer cannot be run here."""
        findings, blocked = self._check_by_scorer(items)
        programs = [
            index
            for index, item in enumerate(items)
            if findings[index].kind == "code" and item.gold and item.scorer is None
        ]
        runs = self._programs.map(_run_program, [items[n] for n in programs], [findings[n] for n in programs])
        for index, (finding, error) in zip(programs, runs, strict=True):
            findings[index] = finding
            if error is not None:
                blocked[index] = error
        return findings, blocked

    def _check_by_scorer(self, items: Sequence[Item]) -> tuple[list[Findings], dict[int, TracemillError]]:
        """The findings of each trace; and, by index, the error of a scorer that is not installed here."""
        indices: dict[str | None, list[int]] = {}
        for index, item in enumerate(items):
            indices.setdefault(item.scorer.name if item.scorer else None, []).append(index)
        findings: dict[int, Findings] = {}
        blocked: dict[int, TracemillError] = {}
        for name, chosen in indices.items():
            if name is None or name in scorers.names():
                findings.update(zip(chosen, self._pool_of(name).check_all([items[n] for n in chosen]), strict=True))
                continue
            for index in chosen:
                findings[index] = Findings(None, f"not run: no scorer {name}")
                blocked[index] = TracemillError(scorers.missing(name))
        return [findings[index] for index in range(len(items))], blocked

    def _pool_of(self, scorer: str | None) -> CheckPool:
        """The children that have loaded this scorer."""
        if scorer is None:
            return self._pool
        with self._lock:
            return self._scorer_pools.setdefault(scorer, CheckPool(self._workers, scorer=scorer))

    def _votes(self, items: Sequence[Item], findings: Sequence[Findings]) -> list[Vote | None]:
        """How the samples of each question without a gold answer vote."""
        votes: list[Vote | None] = [None] * len(items)
        samples: dict[int, list[int]] = {}
        for index, item in enumerate(items):
            if item.question_id is not None and not item.gold and item.scorer is None:
                samples.setdefault(item.question_id, []).append(index)
        for indices in samples.values():
            # A check that was killed knows no kind.
            kind = next((findings[index].kind for index in indices if findings[index].kind), None)
            if kind is None or kind == "code":
                continue
            # "No idea" is the last line of a trace, and no number.
            guesses = ("last line",) if kind in ("number", "expression") else ()
            answers = {
                index: answer
                for index in indices
                if (answer := findings[index].answer) is not None and findings[index].answer_form not in guesses
            }
            groups = dict(zip(answers, self._pool.group(list(answers.values()), kind), strict=True))
            for index, vote in zip(indices, count([groups.get(index) for index in indices]), strict=True):
                votes[index] = vote
        return votes

    def close(self) -> None:
        """End the children and the judge's engine. Calls under way raise."""
        self._programs.shutdown(wait=False, cancel_futures=True)
        for pool in (self._pool, *self._scorer_pools.values()):
            pool.close()
        if self._judge:
            self._judge.close()


@once
def sandbox() -> Sandbox:
    """This process's sandbox. It is probed once, however many threads run programs."""
    return Sandbox()


def _run_program(item: Item, findings: Findings) -> tuple[Findings, TracemillError | None]:
    """The findings with the result of the trace's program, and why no program can be run here."""
    start = perf_counter()
    if refusal := sandbox().refusal:
        return replace(findings, correct=None, proof="not run: no sandbox"), TracemillError(f"no sandbox: {refusal}")
    correct, proof = check_code(sandbox(), *(storable(text or "") for text in (item.text, item.gold, item.question)))
    seconds = findings.seconds + perf_counter() - start
    return replace(findings, correct=correct, proof=proof, seconds=seconds), None


def case_of(item: Item, findings: Findings, *, shows_thoughts: bool = False) -> Case:
    """What a judge is shown of a trace. `shows_thoughts`: if its only reasoning is thoughts, also these."""
    gold = storable(item.gold) if item.gold else None
    question, answer = storable(item.question or ""), findings.answer or ""
    if findings.steps_are_thoughts and not shows_thoughts:
        return Case(question, findings.steps_after_thoughts, answer, gold)
    return Case(question, findings.steps, answer, gold, findings.steps_are_thoughts)


def _request(item: Item, verdict: Verdict, acceptance: Acceptance | None) -> Request | None:
    """What to ask a judge about a trace, if anything."""
    if item.only_votes:
        return None
    signals = acceptance.signals(item, verdict) if acceptance else _every_signal(item, verdict.findings)
    if not signals:
        return None
    shows_thoughts = acceptance is not None and acceptance.policy.judge_thoughts
    return Request(case_of(item, verdict.findings, shows_thoughts=shows_thoughts), signals)


def _every_signal(item: Item, findings: Findings) -> tuple[Signal, ...]:
    """Without a policy: coherence, a rating of the answer, and the agreement of free text that is undecided."""
    if findings.answer is None:
        return ("coherence",)
    is_open = findings.kind == "text" and item.gold and findings.correct is None
    return ("coherence", "rating", "agreement") if is_open else ("coherence", "rating")


def _conclude(item: Item, verdict: Verdict, judged: Judged | None, acceptance: Acceptance | None) -> Verdict:
    """The verdict with the judge's reply and the acceptance, unless something still blocks it."""
    away = judged.away if judged else None
    verdict = replace(verdict, judged=judged, blocked_by=verdict.blocked_by or away)
    if acceptance is None or item.only_votes or verdict.blocked_by:
        return verdict
    return acceptance.decide(item, verdict)
