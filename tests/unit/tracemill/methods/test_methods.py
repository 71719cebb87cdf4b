"""What each way of asking is made of: its variants, its calls, and what it refuses."""

import pytest

from tracemill.errors import UsageError
from tracemill.methods import all_methods, named
from tracemill.prompts import SLOT
from tracemill.verification.checks import Item, check


def test_a_question_is_explained_in_four_voices() -> None:
    assert list(named("explain").variants("math", ())) == ["steps", "teacher", "critic", "expert"]


def test_the_expert_is_one_of_the_domain() -> None:
    experts = {
        domain: named("explain").variants(domain, ())["expert"][0].prompt.messages[0]["content"]
        for domain in ("math", "code", "legal", "medical", "general")
    }
    assert "mathematician" in experts["math"]
    assert "legal scholar" in experts["legal"]
    assert len(set(experts.values())) == 5


def test_refining_is_a_draft_then_a_critique_of_it_then_an_answer_that_has_seen_both() -> None:
    calls = named("refine").variants("math", ())[""]
    quoted = [{slot for m in call.prompt.messages for slot in SLOT.findall(m["content"])} for call in calls]
    assert [call.name for call in calls] == ["draft", "critique", "answer"]
    assert quoted == [{"question"}, {"question", "draft"}, {"question", "draft", "critique"}]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("As the review says, 3 * 4 = 12. The answer is 12.", True),
        ("The draft is right: 3 * 4 = 12. The answer is 12.", True),
        ("Here is the improved solution: 3 * 4 = 12. The answer is 12.", True),
        ("The error in the draft was a sum. 3 * 4 = 12. The answer is 12.", True),
        ("My previous draft was wrong. 3 * 4 = 12. The answer is 12.", True),
        ("3 * 4 = 12. The answer is 12.", False),
        ("She reads the draft of her essay 3 times, 4 minutes each: 3 * 4 = 12. The answer is 12.", False),
        ("She writes 5 reviews a day, and 5 * 3 = 15. The answer is 15.", False),
        ("The review board meets 4 times a year, so 4 * 3 = 12. The answer is 12.", False),
    ],
)
def test_a_refined_trace_stands_alone(text: str, refused: bool) -> None:
    assert bool(named("refine").refusal(text, check(Item(text)))) is refused


def test_only_thoughts_about_the_question_alone_are_taught() -> None:
    taught = {name for name, method in all_methods().items() if method.teaches_thoughts}
    assert taught == {"cot", "explain", "stepwise"}


@pytest.mark.parametrize("name", ["rationalize", "stepwise-gold"])
def test_complete_thoughts_without_an_answer_must_not_speak_of_the_hint(name: str) -> None:
    text = "<think>As the hint says, 3 * 4 = 12, so the answer is 12.</think>"
    assert "hint" in (named(name).refusal(text, check(Item(text))) or "")


def test_a_student_reads_a_stored_trace_below_the_question() -> None:
    method = named("inject")
    (call,) = method.variants("math", ())[""]
    content = call.prompt.messages[-1]["content"]
    assert method.needs == {"trace"}
    assert content.index("{question}") < content.index("{trace}")


def test_who_is_told_the_answer_is_told_to_keep_it_to_themselves() -> None:
    for name in ("rationalize", "stepwise-gold"):
        (call,) = named(name).variants("math", ())[""]
        system, user = (message["content"] for message in call.prompt.messages)
        assert "{gold}" in user
        assert "never speak of having been given anything but the problem" in system


def test_an_unknown_method_is_answered_with_the_methods_there_are() -> None:
    there_are = "contrast, cot, explain, inject, rationalize, refine, stepwise, stepwise-gold"
    with pytest.raises(UsageError, match=there_are):
        named("stepwize")
