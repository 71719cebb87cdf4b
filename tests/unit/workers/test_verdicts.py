"""From findings to the row of a verdict: nothing is lost, nothing poses as what it is not."""

from tracemill.policy import Policy
from tracemill.verification.answers.voting import Vote
from tracemill.verification.checks import Findings
from tracemill.verification.judge import Judged
from tracemill.verification.reasoning.steps import AtStep
from workers.verdicts import agreed, hoped, passes, verdict, with_judge

JUDGED = Policy(judge="verifier", signals=("rating", "coherence", "agreement"))
FREE_TEXT = Findings(None, "different text", answer="the capital of France", kind="text", steps=["It is Paris."])
TRACE = {"answer_form": "stated", "finish_reason": "stop"}


def test_every_finding_names_its_step() -> None:
    found = Findings(
        False, "exact rational", steps=["a", "b", "c"], equations_checked=2, equations_false=1,
        false_equations=[AtStep(1, "1 + 1 = 3")], ungrounded=[AtStep(2, "37")], concludes=False,
    )  # fmt: skip
    row = verdict(7, Policy(), found, None)
    assert (row["trace_id"], row["steps"], row["first_error"]) == (7, 3, 1)
    assert (row["ungrounded"], row["concludes"]) == (1, False)
    assert row["findings"] == [{"step": 1, "false_equation": "1 + 1 = 3"}, {"step": 2, "ungrounded": "37"}]


def test_a_vote_is_the_proof_and_correctness_stays_unknown() -> None:
    row = verdict(1, Policy(), Findings(None, "no gold answer", answer="5"), Vote(6, 8, 1))
    assert (row["correct"], row["proof"], row["majority"], row["margin"]) == (None, "majority 6/8", 0.75, 0.625)


def test_free_text_that_differs_is_decided_by_an_informative_judge() -> None:
    row = verdict(1, JUDGED, FREE_TEXT, None)
    assert not passes(JUDGED, row, TRACE)
    assert passes(JUDGED, hoped(JUDGED, row), TRACE)
    assert agreed(JUDGED, row, Judged({"agreement": 0.93}, None)) == {
        "correct": True,
        "proof": "agreement 0.93 by verifier",
    }
    assert agreed(JUDGED, row, Judged({"agreement": 0.2}, None))["correct"] is False


def test_an_uninformative_judge_decides_nothing() -> None:
    policy = JUDGED.model_copy(update={"uninformative": {"agreement": "not calibrated"}})
    row = verdict(1, policy, FREE_TEXT, None)
    assert hoped(policy, row) == row
    assert agreed(policy, row, Judged({"agreement": 0.93}, None)) == {}


def test_a_judge_never_overrules_what_was_proved() -> None:
    for correct in (True, False):
        row = verdict(1, JUDGED, Findings(correct, "same text", kind="text"), None)
        assert agreed(JUDGED, row, Judged({"agreement": 0.5}, None)) == {}


def test_each_signal_is_stored_by_itself_and_an_uninformative_one_is_marked() -> None:
    policy = JUDGED.model_copy(update={"uninformative": {"coherence": "not calibrated"}})
    row = with_judge(policy, verdict(1, policy, FREE_TEXT, None), Judged({"rating": 0.8, "coherence": 0.6}, "slow"))
    assert (row["faithfulness"], row["coherence"], row["error"]) == (0.8, 0.6, "slow")
    assert row["signals"] == {"rating": 0.8, "coherence": 0.6, "uninformative": ["coherence"]}


def test_without_a_judge_the_signals_are_empty() -> None:
    row = with_judge(Policy(), verdict(1, Policy(), FREE_TEXT, None), None)
    assert (row["signals"], row["faithfulness"], row["coherence"], row["error"]) == ({}, None, None, None)
