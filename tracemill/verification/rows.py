"""A verdict as fields of a row of `tracemill verify`."""

from collections.abc import Mapping
from typing import Any

from tracemill.scores import SCORE_FIELDS, scores_of
from tracemill.verification.checks import Findings
from tracemill.verification.verdict import Verdict

JUDGE_FIELDS = ("agreement", "judge")
#: Begins the name of a field of ours if the input row has another field of that name.
PREFIX = "tracemill_"
#: Fields of the input row that are used for the verdict, and that keep their value. A number of steps is not used.
KEPT = ("steps", "kind")


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


def output_names(row: Mapping[str, Any], judge: str | None) -> dict[str, str]:
    """The name in the output row of each field of ours.

    An input row keeps its own fields. If it is an earlier output, its verdict is replaced.
    """
    is_output = all(name in row or PREFIX + name in row for name in FIELDS)

    def name_of(field: str) -> str:
        clashes = field in row and (field not in KEPT or isinstance(row[field], int)) and not is_output
        return PREFIX + field if clashes or PREFIX + field in row else field

    return {field: name_of(field) for field in (FIELDS + JUDGE_FIELDS if judge else FIELDS)}


def output_row(row: Mapping[str, Any], verdict: Verdict, judge: str | None) -> dict[str, Any]:
    """The input row with its verdict."""
    names = output_names(row, judge)
    fields = {names[field]: value for field, value in fields_of(verdict, judge).items()}
    return {**row, **fields, **kept_values(row)}


def kept_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that a verdict has too, but that keep the value of the input row."""
    return {name: row[name] for name in KEPT if row.get(name) and not isinstance(row[name], int)}
