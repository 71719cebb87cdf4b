"""A policy, applied: which signals a judge is asked for, and whether a trace is accepted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tracemill import thinking
from tracemill.policy import Policy, Signal
from tracemill.verification.answers.extract import STRICT_FORMS
from tracemill.verification.checks import Findings, Item
from tracemill.verification.verdict import Verdict

#: The refusal of a trace that has no text besides its thoughts.
NO_ANSWER = "it has no answer after its thoughts"


@dataclass(frozen=True)
class Acceptance:
    """The rules under which the traces of a job are accepted."""

    policy: Policy
    #: The traces show how not to reason. Each must be wrong and finished; its equations and signals do not count.
    negative: bool = False
    #: The method's own check: why a trace with this text and these findings is of no use, or None.
    refuse: Callable[[str, Findings], str | None] = lambda text, findings: None

    def signals(self, item: Item, verdict: Verdict) -> tuple[Signal, ...]:
        """The signals to ask a judge for: none about a trace that cannot be accepted whatever the judge says."""
        if verdict.blocked_by or verdict.answer is None or self.negative or not self._judges(item.question_id):
            return ()
        columns = verdict.columns
        if self._judge_decides(verdict):
            columns = {**columns, "correct": True}
        hopeful = _has_answer(item) and self.policy.passes(
            columns, stated=_is_stated(item, verdict), finished=not item.is_cut_off
        )
        return self.policy.signals if hopeful or self.policy.judge_refused else ()

    def decide(self, item: Item, verdict: Verdict) -> Verdict:
        """The verdict with its refusal, the judge's agreement where it decides, and `accepted`.

        Thoughts alone are refused: nothing in them can be taught as an answer.
        """
        refusal = self.refuse(item.text, verdict.findings) if _has_answer(item) else NO_ANSWER
        verdict = replace(verdict, refusal=refusal)
        if "agreement" in verdict.signals and self._judge_decides(verdict):
            score = verdict.signals["agreement"]
            proof = f"agreement {score:.2f} by {self.policy.judge}"
            verdict = replace(verdict, findings=replace(verdict.findings, correct=score >= 0.5, proof=proof))
        accepted = self.accepts(
            verdict.columns, verdict.signals, stated=_is_stated(item, verdict), finished=not item.is_cut_off
        )
        is_usable = verdict.refusal is None and not (self.negative and verdict.answer is None)
        return replace(verdict, accepted=accepted and is_usable)

    def accepts(
        self, columns: Mapping[str, Any], signals: Mapping[Signal, float], *, stated: bool, finished: bool
    ) -> bool:
        """Whether a verdict passes. `columns`: as in `Verdict.columns`. A refusal is not looked at."""
        if self.negative:
            return columns["correct"] is False and finished
        return self.policy.passes(columns, stated=stated, finished=finished) and self.policy.passes_gates(signals)

    def _judges(self, question_id: int | None) -> bool:
        """Whether the judge sees the traces of this question. A trace without a question id is always seen."""
        return self.policy.judge is not None and (question_id is None or self.policy.judges(question_id))

    def _judge_decides(self, verdict: Verdict) -> bool:
        """Whether a judge's agreement stands for `correct`: of free text that differs from its reference."""
        informative = "agreement" in self.policy.signals and "agreement" not in self.policy.uninformative
        is_open = verdict.findings.kind == "text" and verdict.correct is None
        return self.policy.judge is not None and informative and is_open


def _is_stated(item: Item, verdict: Verdict) -> bool:
    return verdict.findings.answer_form in STRICT_FORMS if item.is_stated is None else item.is_stated


def _has_answer(item: Item) -> bool:
    return bool(thinking.split(item.text).answer.strip())
