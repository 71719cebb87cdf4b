"""A verdict as fields of a row of `tracemill verify`."""

from typing import Any

from tracemill.scores import SCORE_FIELDS, scores_of
from tracemill.verification.checks import Findings
from tracemill.verification.verdict import Verdict

JUDGE_FIELDS = ("agreement", "judge")


def fields_of(verdict: Verdict, judge: str | None) -> dict[str, Any]:
    """The fields that a verdict adds to a row, in order; with the alias of a judge also `JUDGE_FIELDS`."""
    findings, judged = verdict.findings, verdict.judged
    ungrounded = findings.ungrounded
    fields = {
        "correct": verdict.correct,
        "proof": verdict.proof,
        "answer": findings.answer,
        "steps": findings.steps,
        "first_error": findings.first_error,
        "equations": {"checked": findings.equations_checked, "false": findings.equations_false},
        "faithfulness": verdict.faithfulness,
        "coherence": verdict.coherence,
        "seconds": round(findings.seconds + (judged.seconds if judged else 0), 6),
        "kind": findings.kind,
        "false_equations": [equation._asdict() for equation in findings.false_equations],
        **{name: value for name, value in scores_of(findings).items() if name in SCORE_FIELDS},
        "ungrounded": None if ungrounded is None else [number._asdict() for number in ungrounded],
        "error": str(verdict.blocked_by) if verdict.blocked_by else judged.error if judged else None,
    }
    return fields | ({"agreement": verdict.signals.get("agreement"), "judge": judge} if judge else {})


#: The fields that a verdict adds to a row. A judge adds `JUDGE_FIELDS`.
FIELDS = tuple(fields_of(Verdict(Findings(None, "")), None))
