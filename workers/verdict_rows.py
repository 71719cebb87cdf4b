"""Traces and verdicts at the edge of the database: rows to typed objects, verdicts to rows."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import RowMapping

from tracemill.policy import Policy, Signal
from tracemill.scores import SCORES, scores_of
from tracemill.text import storable
from tracemill.verification import Item, Verdict
from tracemill.verification.acceptance import Acceptance
from tracemill.verification.answers.extract import STRICT_FORMS
from tracemill.verification.scorers import Scoring

Row: TypeAlias = dict[str, Any]


class StoredVerdict(NamedTuple):
    """The verdict that a trace has, as far as later votes need it."""

    accepted: bool
    proof: str
    refusal: str | None
    signals: Mapping[Signal, Any]
    #: What a policy reads, as `Verdict.columns`.
    columns: Mapping[str, Any]


class StoredTrace(NamedTuple):
    """A trace of a question that is verified."""

    id: int
    question_id: int
    #: Traces that its question was to have when they were loaded.
    n_requested: int
    item: Item
    verdict: StoredVerdict | None
    #: Engines in a row that died while a judge was asked about its question.
    deaths: int = 0


def stored_trace(row: RowMapping) -> StoredTrace:
    """The trace in a row of the query `to_verify`."""
    verdict = row["verdict"]
    item = Item(
        row["text"],
        row["gold"],
        row["question"],
        row["kind"],
        tuple(step["text"] for step in row["steps"]),
        Scoring(scorer["name"], scorer["entry"]) if isinstance(scorer := row["scorer"], dict) else None,
        question_id=row["question_id"],
        is_stated=row["answer_form"] in STRICT_FORMS,
        is_cut_off=row["finish_reason"] == "length",
        only_votes=verdict is not None,
    )
    stored = None if verdict is None else _stored_verdict(verdict)
    return StoredTrace(row["id"], row["question_id"], row["wanted"], item, stored, row["deaths"])


def _stored_verdict(row: Mapping[str, Any]) -> StoredVerdict:
    columns = {name: row[name] for name in ("correct", "majority", *(score.name for score in SCORES))}
    return StoredVerdict(row["accepted"], row["proof"], row["refused"], row["signals"], columns)


def verdict_row(trace: StoredTrace, policy: Policy, verdict: Verdict) -> Row:
    """The row of `verdicts`. Each signal is kept by its name; `uninformative` names those that only the record has."""
    findings, vote, judged = verdict.findings, verdict.vote, verdict.judged
    signals: dict[str, Any] = {str(name): score for name, score in verdict.signals.items()}
    marks = [name for name in signals if name in policy.uninformative]
    errors = [error for error in (findings.error, judged.error if judged else None) if error]
    return {
        "trace_id": trace.id,
        "verifier": policy.verifier,
        "correct": verdict.correct,
        "proof": storable(verdict.proof),
        "kind": findings.kind,
        "majority": vote.share if vote else None,
        "margin": vote.margin if vote else None,
        "faithfulness": verdict.faithfulness,
        "coherence": verdict.coherence,
        **scores_of(findings),
        "signals": signals | ({"uninformative": marks} if marks else {}),
        "findings": [{"step": step, "false_equation": storable(text)} for step, text in findings.false_equations]
        + [{"step": step, "ungrounded": storable(text)} for step, text in findings.ungrounded or ()],
        "refused": verdict.refusal,
        "accepted": verdict.accepted,
        "error": storable("; ".join(errors)) or None,
        "seconds": findings.seconds,
    }


def revote_row(trace: StoredTrace, stored: StoredVerdict, acceptance: Acceptance, verdict: Verdict) -> Row:
    """What later votes change in the verdict that a trace has. All but the vote stays as it was stored."""
    vote = verdict.vote
    columns = {**stored.columns, "majority": vote.share if vote else None}
    accepted = stored.refusal is None and acceptance.accepts(
        columns, stored.signals, stated=bool(trace.item.is_stated), finished=not trace.item.is_cut_off
    )
    return {
        "trace_id": trace.id,
        "verifier": acceptance.policy.verifier,
        "wanted": trace.n_requested,
        "majority": columns["majority"],
        "margin": vote.margin if vote else None,
        "proof": storable(vote.proof) if vote else stored.proof,
        "accepted": accepted,
    }
