"""From findings to the row of a verdict."""

import logging
from collections.abc import Mapping
from typing import Any, TypeAlias

from tracemill.methods import Method
from tracemill.policy import Policy, Signal
from tracemill.scores import scores_of
from tracemill.text import storable
from tracemill.verification.answers.extract import STRICT_FORMS
from tracemill.verification.answers.voting import Vote
from tracemill.verification.checks import Findings
from tracemill.verification.judge import Judged

log = logging.getLogger(__name__)

Row: TypeAlias = dict[str, Any]


def verdict(trace_id: int, policy: Policy, found: Findings, vote: Vote | None) -> dict[str, Any]:
    """The row of `verdicts` as far as no model is needed. A vote is never a gold answer: `correct` stays null."""
    return {
        "trace_id": trace_id,
        "verifier": policy.verifier,
        "correct": found.correct,
        "proof": storable(vote.proof if vote else found.proof),
        "kind": found.kind,
        "majority": vote.share if vote else None,
        "margin": vote.margin if vote else None,
        "faithfulness": None,
        "coherence": None,
        **scores_of(found),
        "findings": [{"step": step, "false_equation": storable(text)} for step, text in found.false_equations]
        + [{"step": step, "ungrounded": storable(text)} for step, text in found.ungrounded or ()],
        "error": found.error,
        "seconds": found.seconds,
    }


def refusal(method: Method, text: str, found: Findings) -> str | None:
    """Why the method itself refuses a trace."""
    try:
        why = method.refusal(text, found)
    except Exception as error:  # a method is somebody's file: its fault must not cost the question its verdicts
        log.exception("method %s failed at a trace", method.name)
        why = f"the method's own check failed: {type(error).__name__}"
    return None if why is None else storable(why)[:500]


def accepted(
    policy: Policy, verdict: Mapping[str, Any], trace: Mapping[str, Any], scores: Mapping[Signal, float], negative: bool
) -> bool:
    """Whether the trace is accepted: as an example, or, of a `negative` method, as one of how not to reason.

    A negative one must be wrong, and complete; that its equations are true, or that a judge likes it, is not asked.
    """
    if verdict["refused"] is not None:
        return False
    if negative:
        return verdict["correct"] is False and trace["answer"] is not None and trace["finish_reason"] != "length"
    return passes(policy, verdict, trace) and policy.passes_gates(scores)


def revote(policy: Policy, trace: Mapping[str, Any], vote: Vote | None, negative: bool) -> Row:
    """What a vote that has gone on changes in the verdict that a trace has."""
    old = trace["verdict"]
    row = old | {"majority": vote.share if vote else None, "margin": vote.margin if vote else None}
    return {
        "trace_id": trace["id"],
        "verifier": policy.verifier,
        "wanted": trace["wanted"],
        "majority": row["majority"],
        "margin": row["margin"],
        "proof": storable(vote.proof) if vote else old["proof"],
        "accepted": accepted(policy, row, trace, old["signals"], negative),
    }


def passes(policy: Policy, verdict: Mapping[str, Any], trace: Mapping[str, Any]) -> bool:
    """Whether the trace can be accepted as far as no judge is needed."""
    return policy.passes(
        verdict, stated=trace["answer_form"] in STRICT_FORMS, finished=trace["finish_reason"] != "length"
    )


def hoped(policy: Policy, verdict: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row as it would be if the judge finds that free text agrees with its reference."""
    return {**verdict, "correct": True} if _judge_decides(policy, verdict) else verdict


def agreed(policy: Policy, verdict: Mapping[str, Any], judged: Judged | None) -> dict[str, Any]:
    """What an informative judge says of free text that differs from its reference: it stands for `correct`."""
    if judged is None or "agreement" not in judged.scores or not _judge_decides(policy, verdict):
        return {}
    score = judged.scores["agreement"]
    return {"correct": score >= 0.5, "proof": f"agreement {score:.2f} by {policy.judge}"}


def _judge_decides(policy: Policy, verdict: Mapping[str, Any]) -> bool:
    informative = "agreement" in policy.signals and "agreement" not in policy.uninformative
    return policy.judge is not None and informative and verdict["kind"] == "text" and verdict["correct"] is None


def with_judge(policy: Policy, verdict: Mapping[str, Any], judged: Judged | None) -> dict[str, Any]:
    """The row with the judge's signals; `faithfulness` is the first of rating, counterfactual, uplift that was asked.

    Each raw signal is kept by its name; `uninformative` names those that only the record has.
    """
    scores: dict[str, Any] = {str(name): score for name, score in judged.scores.items()} if judged else {}
    faithfulness = (scores[name] for name in ("rating", "counterfactual", "uplift") if name in scores)
    errors = [error for error in (verdict["error"], judged.error if judged else None) if error]
    marks = [name for name in scores if name in policy.uninformative]
    return {
        **verdict,
        "faithfulness": next(faithfulness, None),
        "coherence": scores.get("coherence"),
        "signals": scores | ({"uninformative": marks} if marks else {}),
        "error": storable("; ".join(errors)) or None,
    }
