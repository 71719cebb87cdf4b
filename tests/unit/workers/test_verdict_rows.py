"""Verdicts as rows of the database: no field is lost."""

from tracemill.policy import Policy
from tracemill.scores import SCORES
from tracemill.verification import Findings, Item, Judged, Verdict, Vote
from tracemill.verification.acceptance import Acceptance
from tracemill.verification.reasoning.steps import AtStep
from workers.verdict_rows import StoredTrace, StoredVerdict, revote_row, verdict_row

TRACE = StoredTrace(7, 1, 4, Item("It is 5.", question_id=1, is_stated=True, only_votes=True), None)


def test_every_finding_names_its_step() -> None:
    findings = Findings(
        False, "exact rational", steps=["a", "b", "c"], equations_checked=2, equations_false=1,
        false_equations=[AtStep(1, "1 + 1 = 3")], ungrounded=[AtStep(2, "37")], concludes=False,
    )  # fmt: skip
    row = verdict_row(TRACE, Policy(), Verdict(findings))
    assert (row["trace_id"], row["steps"], row["first_error"]) == (7, 3, 1)
    assert (row["ungrounded"], row["concludes"]) == (1, False)
    assert row["findings"] == [{"step": 1, "false_equation": "1 + 1 = 3"}, {"step": 2, "ungrounded": "37"}]


def test_a_vote_is_the_proof_and_correctness_stays_unknown() -> None:
    row = verdict_row(TRACE, Policy(), Verdict(Findings(None, "no gold answer", answer="5"), Vote(6, 8, 1)))
    assert (row["correct"], row["proof"], row["majority"], row["margin"]) == (None, "majority 6/8", 0.75, 0.625)


def test_each_signal_is_stored_and_an_uninformative_one_is_marked() -> None:
    policy = Policy(judge="verifier", signals=("rating", "coherence"))
    policy = policy.model_copy(update={"uninformative": {"coherence": "not calibrated"}})
    judged = Judged({"rating": 0.8, "coherence": 0.6}, "slow")
    row = verdict_row(TRACE, policy, Verdict(Findings(None, "", error="killed: memory"), judged=judged))
    assert (row["faithfulness"], row["coherence"], row["error"]) == (0.8, 0.6, "killed: memory; slow")
    assert row["signals"] == {"rating": 0.8, "coherence": 0.6, "uninformative": ["coherence"]}


def test_without_a_judge_the_signals_are_empty() -> None:
    row = verdict_row(TRACE, Policy(), Verdict(Findings(None, "")))
    assert (row["signals"], row["faithfulness"], row["coherence"], row["error"]) == ({}, None, None, None)


def test_a_later_vote_changes_the_vote_and_the_acceptance_alone() -> None:
    scores = {score.name: 0 for score in SCORES}
    stored = StoredVerdict(False, "tie 1/2", None, {}, {"correct": None, "majority": 0.5, **scores})
    # The check of the old trace was killed this time: its stored verdict stays.
    verdict = Verdict(Findings(None, "timeout after 3 s"), Vote(3, 4, 1))
    acceptance = Acceptance(Policy(majority=0.75))
    expected = {"trace_id": 7, "verifier": "checks", "wanted": 4, "majority": 0.75, "margin": 0.5}
    expected |= {"proof": "majority 3/4", "accepted": True}
    assert revote_row(TRACE, stored, acceptance, verdict) == expected
    refused = revote_row(TRACE, stored._replace(refusal="it quotes the hint"), acceptance, verdict)
    assert refused["accepted"] is False
    unvoted = revote_row(TRACE, stored, acceptance, Verdict(Findings(None, "timeout after 3 s")))
    assert (unvoted["proof"], unvoted["majority"], unvoted["accepted"]) == ("tie 1/2", None, False)
