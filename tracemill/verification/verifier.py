"""All that decides about a trace, put together in one process that has no stack: checks, sandbox, judge."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tracemill.concurrency import once
from tracemill.errors import UsageError
from tracemill.policy import Signal
from tracemill.scores import SCORE_FIELDS, scores_of
from tracemill.text import storable
from tracemill.verification.checks import Findings, Item
from tracemill.verification.pool import CheckPool

if TYPE_CHECKING:
    from tracemill.verification.code.sandbox import Sandbox
    from tracemill.verification.judge import CanaryResult, Judged

#: What a verdict adds to a row, and what a judge adds to that.
FIELDS = (
    *("correct", "proof", "answer", "steps", "first_error", "equations", "faithfulness", "coherence", "seconds"),
    *("kind", "false_equations"),
    *SCORE_FIELDS,
    "error",
)
JUDGE_FIELDS = ("agreement", "judge")

BATCH = 16  # rows for each worker: what a child of the pool takes at a time
JUDGED_BATCH = 8  # rows: they take long, and a run that is killed loses the batches in flight
JUDGED_AT_A_TIME = 64


class Verifier:
    """Everything that decides about a trace: checks in children that can be killed, a sandbox, perhaps a judge."""

    def __init__(self, workers: int, judge: str | None = None) -> None:
        """`judge`: a model alias; its engine starts here. Raises UsageError or EngineError."""
        if not (find_spec("pebble") and find_spec("math_verify")):
            raise UsageError("math-verify and pebble are not installed. Run: pip install 'tracemill[verify]'")
        #: rows that are best verified together
        self.batch = JUDGED_BATCH if judge else BATCH * workers
        self._judge = _Judge(judge) if judge else None
        self._pool = CheckPool(workers)
        self._programs = ThreadPoolExecutor(workers, thread_name_prefix="program")

    def canaries(self) -> "list[CanaryResult]":
        """Whether the judge falls for traces that tell it what to say. Raises EngineError if it cannot be asked."""
        return self._judge.canaries() if self._judge else []

    def verdicts(self, items: Sequence[Item]) -> list[dict[str, Any]]:
        """The fields of each trace's verdict. Thread-safe. Raises TracemillError when nothing can be verified."""
        found = self._pool.check_all(items)
        errors: list[str | None] = [None] * len(items)
        programs = [place for place, findings in enumerate(found) if findings.kind == "code" and items[place].gold]
        ran = self._programs.map(_run_program, [items[place] for place in programs])
        for place, (correct, proof, seconds, errors[place]) in zip(programs, ran, strict=True):
            found[place] = replace(found[place], correct=correct, proof=proof, seconds=found[place].seconds + seconds)
        if self._judge is None:
            return [_fields(*each) for each in zip(found, errors, strict=True)]
        return [
            _fields(findings, error or said.error, said.scores, seconds) | self._judge.fields(said.scores)
            for findings, error, (said, seconds) in zip(found, errors, self._judge.ask(items, found), strict=True)
        ]

    def none(self, problem: str) -> dict[str, Any]:
        """The same fields for a row that cannot be verified."""
        fields = _fields(Findings(None, f"not verified: {problem}"), problem)
        return fields | (self._judge.fields({}) if self._judge else {})

    def close(self) -> None:
        """End the children and the judge's engine. Calls that are still running raise."""
        self._programs.shutdown(wait=False, cancel_futures=True)
        self._pool.close()
        if self._judge:
            self._judge.close()


def _fields(
    findings: Findings, error: str | None, scores: Mapping[Signal, float] | None = None, seconds: float = 0.0
) -> dict[str, Any]:
    scores = scores or {}
    ungrounded = findings.ungrounded
    return {
        "correct": findings.correct,
        "proof": findings.proof,
        "answer": findings.answer,
        "steps": findings.steps,
        "first_error": findings.first_error,
        "equations": {"checked": findings.equations_checked, "false": findings.equations_false},
        "faithfulness": scores.get("rating"),
        "coherence": scores.get("coherence"),
        "seconds": round(findings.seconds + seconds, 6),
        "kind": findings.kind,
        "false_equations": [finding._asdict() for finding in findings.false_equations],
        **{name: value for name, value in scores_of(findings).items() if name in SCORE_FIELDS},
        "ungrounded": None if ungrounded is None else [finding._asdict() for finding in ungrounded],
        "error": error,
    }


@once
def _sandbox() -> "tuple[Sandbox, str | None]":
    """Where programs run, and why they cannot. Probed once, however many threads ask."""
    from tracemill.verification.code.sandbox import Sandbox

    sandbox = Sandbox()
    return sandbox, sandbox.refusal


def _run_program(item: Item) -> tuple[bool | None, str, float, str | None]:
    """Whether the program in a trace passes its tests, how that was decided, in how many seconds, and what failed."""
    from tracemill.verification.code.check import check_code

    start = perf_counter()
    sandbox, refusal = _sandbox()
    if refusal:
        return None, "not run: no sandbox", 0.0, f"no sandbox: {refusal}"
    correct, proof = check_code(sandbox, *(storable(text or "") for text in (item.text, item.gold, item.question)))
    return correct, proof, perf_counter() - start, None


class _Judge:
    """A model that rates traces, `JUDGED_AT_A_TIME` of all batches together."""

    def __init__(self, alias: str) -> None:
        from tracemill.engines.registry import engine

        self._alias = alias
        self._engine = engine(alias)
        self._places = asyncio.Semaphore(JUDGED_AT_A_TIME)
        self._asking: set[asyncio.Task[Any]] = set()

    def fields(self, scores: Mapping[Signal, float]) -> dict[str, Any]:
        return {"agreement": scores.get("agreement"), "judge": self._alias}

    def canaries(self) -> "list[CanaryResult]":
        from tracemill.event_loop import run
        from tracemill.verification.judge import canaries

        return run(canaries(self._engine))

    def ask(self, items: Sequence[Item], found: Sequence[Findings]) -> "list[tuple[Judged, float]]":
        """What the judge says of each trace, and the seconds it took. Raises EngineError if it is gone."""
        from tracemill.event_loop import run

        return run(self._ask_all(items, found))

    async def _ask_all(self, items: Sequence[Item], found: Sequence[Findings]) -> "list[tuple[Judged, float]]":
        batch = asyncio.current_task()
        assert batch is not None
        self._asking.add(batch)
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(self._ask(*each)) for each in zip(items, found, strict=True)]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._asking.discard(batch)
        return [each.result() for each in asked]

    async def _ask(self, item: Item, findings: Findings) -> "tuple[Judged, float]":
        from tracemill.verification.judge import Case, ask

        signals: list[Signal] = ["coherence"]
        if findings.answer is not None:
            signals.append("rating")
            if findings.kind == "text" and item.gold and findings.correct is None:
                signals.append("agreement")
        gold = storable(item.gold) if item.gold else None
        question, answer = storable(item.question or ""), findings.answer or ""
        case = Case(question, findings.steps, answer, gold, findings.steps_are_thoughts)
        async with self._places:
            start = perf_counter()
            said = await ask(self._engine, case, signals)
            return said, perf_counter() - start

    def close(self) -> None:
        from tracemill.engines.registry import close_engines
        from tracemill.event_loop import run

        run(self._stop())
        close_engines()

    async def _stop(self) -> None:
        asking = list(self._asking)
        for batch in asking:
            batch.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
