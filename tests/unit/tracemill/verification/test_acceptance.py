"""From findings to an accepted trace: nothing decides more than it knows."""

from typing import Any

import pytest

from tracemill.errors import TracemillError
from tracemill.policy import Policy
from tracemill.verification import Findings, Item, Judged, Verdict, Vote
from tracemill.verification.acceptance import NO_ANSWER, Acceptance

JUDGED = Policy(judge="verifier", signals=("rating", "coherence", "agreement"))
UNINFORMED = JUDGED.model_copy(update={"uninformative": {"agreement": "not calibrated"}})
FREE_TEXT = Findings(
    None, "different text", answer="the capital of France", answer_form="stated", kind="text", steps=["It is Paris."]
)
RIGHT = Findings(True, "exact rational", answer="7", answer_form="stated", kind="number", steps=["3 + 4 = 7"])
WRONG = Findings(False, "exact rational", answer="8", answer_form="stated", kind="number", steps=["3 + 4 = 8"])
ITEM = Item("It is Paris.", "Paris")


def decided(findings: Findings, policy: Policy, scores: dict[Any, float], **more: Any) -> Verdict:
    return Acceptance(policy, **more).decide(ITEM, Verdict(findings, judged=Judged(scores)))


@pytest.mark.parametrize(("agreement", "correct"), [(0.93, True), (0.5, True), (0.49, False)])
def test_free_text_that_differs_is_decided_by_an_informative_judge(agreement: float, correct: bool) -> None:
    assert Acceptance(JUDGED).signals(ITEM, Verdict(FREE_TEXT)) == JUDGED.signals
    verdict = decided(FREE_TEXT, JUDGED, {"agreement": agreement})
    assert (verdict.correct, verdict.accepted) == (correct, correct)
    assert verdict.proof == f"agreement {agreement:.2f} by verifier"


def test_an_uninformative_judge_decides_nothing() -> None:
    assert Acceptance(UNINFORMED).signals(ITEM, Verdict(FREE_TEXT)) == ()
    verdict = decided(FREE_TEXT, UNINFORMED, {"agreement": 0.93})
    assert (verdict.correct, verdict.proof, verdict.accepted) == (None, "different text", False)


@pytest.mark.parametrize("correct", [True, False])
def test_a_judge_never_overrules_what_was_proved(correct: bool) -> None:
    findings = Findings(correct, "same text", answer="Paris", answer_form="stated", kind="text")
    verdict = decided(findings, JUDGED, {"agreement": 0.0 if correct else 1.0})
    assert (verdict.correct, verdict.proof) == (correct, "same text")


def test_a_vote_is_the_proof_and_correctness_stays_unknown() -> None:
    open_answer = Findings(None, "no gold answer", answer="5", answer_form="stated")
    verdict = Verdict(open_answer, Vote(6, 8, 1))
    assert (verdict.correct, verdict.proof, verdict.columns["majority"]) == (None, "majority 6/8", 0.75)
    item = Item("The answer is 5.")
    assert Acceptance(Policy()).decide(item, verdict).accepted is False
    assert Acceptance(Policy(majority=0.75)).decide(item, verdict).accepted is True


def test_faithfulness_is_the_first_of_rating_counterfactual_and_uplift() -> None:
    scores: list[dict[Any, float]] = [{"uplift": 0.1, "counterfactual": 0.2, "rating": 0.3}]
    scores += [{"uplift": 0.1, "counterfactual": 0.2}, {"uplift": 0.1, "coherence": 0.6}, {}]
    verdicts = [Verdict(RIGHT, judged=Judged(given)) for given in scores]
    assert [verdict.faithfulness for verdict in verdicts] == [0.3, 0.2, 0.1, None]
    assert [verdict.coherence for verdict in verdicts] == [None, None, 0.6, None]


def test_the_judge_is_asked_only_about_what_could_still_be_accepted() -> None:
    signals = Acceptance(JUDGED).signals
    assert signals(ITEM, Verdict(RIGHT)) == JUDGED.signals
    assert signals(ITEM, Verdict(WRONG)) == ()
    assert signals(ITEM, Verdict(Findings(True, "", kind="number"))) == ()  # without an answer
    assert signals(ITEM._replace(is_stated=False), Verdict(RIGHT)) == ()
    assert signals(ITEM, Verdict(RIGHT, blocked_by=TracemillError("no sandbox"))) == ()
    assert Acceptance(JUDGED, negative=True).signals(ITEM, Verdict(RIGHT)) == ()
    assert Acceptance(Policy()).signals(ITEM, Verdict(RIGHT)) == ()
    every = JUDGED.model_copy(update={"judge_refused": True})
    assert Acceptance(every).signals(ITEM, Verdict(WRONG)) == JUDGED.signals


def test_a_share_of_the_questions_is_judged_and_traces_without_one_always() -> None:
    policy = Policy(judge="verifier", judge_share=0.5)
    judged = [n for n in range(1000) if Acceptance(policy).signals(ITEM._replace(question_id=n), Verdict(RIGHT))]
    assert judged == [n for n in range(1000) if policy.judges(n)]
    assert Acceptance(policy).signals(ITEM, Verdict(RIGHT)) == ("rating",)


def test_a_gate_holds_whatever_else_is_right() -> None:
    policy = Policy(judge="verifier", gates={"rating": 0.7})
    assert decided(RIGHT, policy, {"rating": 0.7}).accepted is True
    assert decided(RIGHT, policy, {"rating": 0.69}).accepted is False
    assert decided(RIGHT, policy, {}).accepted is False


def test_a_negative_trace_must_be_wrong_with_an_answer_and_finished() -> None:
    assert decided(WRONG, Policy(), {}, negative=True).accepted is True
    assert decided(RIGHT, Policy(), {}, negative=True).accepted is False
    assert decided(FREE_TEXT, Policy(), {}, negative=True).accepted is False
    assert decided(Findings(False, "no answer in it"), Policy(), {}, negative=True).accepted is False
    cut_off = ITEM._replace(is_cut_off=True)
    assert Acceptance(Policy(), negative=True).decide(cut_off, Verdict(WRONG)).accepted is False


@pytest.mark.parametrize("negative", [True, False])
def test_a_trace_that_its_method_refuses_is_never_accepted(negative: bool) -> None:
    verdict = decided(
        WRONG if negative else RIGHT, Policy(), {}, negative=negative, refuse=lambda text, _: f"no: {text}"
    )
    assert (verdict.refusal, verdict.accepted) == ("no: It is Paris.", False)


def test_the_form_of_an_answer_is_the_methods_if_it_gives_one() -> None:
    guess = Findings(True, "exact rational", answer="7", answer_form="last number", kind="number")
    for is_stated, findings, accepted in (
        (None, RIGHT, True),
        (None, guess, False),
        (True, guess, True),
        (False, RIGHT, False),
    ):
        item = ITEM._replace(is_stated=is_stated)
        assert Acceptance(Policy()).decide(item, Verdict(findings)).accepted is accepted


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("<think>3 + 4 = 7. The answer is 7.</think>", NO_ANSWER),
        ("<think>3 + 4 = 7. The answer is 7.</think>\n <|im_end|>", NO_ANSWER),
        ("<think>3 + 4 = 7. The answer is 7.", NO_ANSWER),
        ("", NO_ANSWER),
        ("<think>3 + 4 = 7.</think>The answer is 7.", None),
        ("3 + 4 = 7. The answer is 7.", None),
        ("The answer is 7.<think>Shall I check", None),
    ],
)
@pytest.mark.parametrize("negative", [False, True])
def test_thoughts_without_an_answer_are_never_accepted(text: str, refusal: str | None, negative: bool) -> None:
    policy = Policy(judge="verifier", signals=("rating",))
    acceptance = Acceptance(policy, negative)
    verdict = acceptance.decide(Item(text, "7"), Verdict(WRONG if negative else RIGHT))
    assert (verdict.refusal, verdict.accepted) == (refusal, refusal is None)
    assert bool(acceptance.signals(Item(text, "7"), Verdict(RIGHT))) is (refusal is None and not negative)
