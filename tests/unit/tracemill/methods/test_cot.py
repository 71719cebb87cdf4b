"""The prompt of `cot` changes only on purpose, because students were trained on it."""

from tracemill.methods import Shot, named


def test_the_cot_prompt_of_mathematics_is_the_one_that_was_measured() -> None:
    (call,) = named("cot").variants("math", ())[""]
    assert call.prompt.hash == "p1:24813358e78bad350a98b4234d2d2326"


def test_every_turn_of_the_user_requests_a_box_for_the_answer() -> None:
    (call,) = named("cot").variants("math", [Shot("1 + 1?", r"\boxed{2}")])[""]
    users = [message["content"] for message in call.prompt.messages if message["role"] == "user"]
    assert users == [f"{text}\nPlease reason step by step, and put your final answer within \\boxed{{}}."
                     for text in ("1 + 1?", "{question}")]  # fmt: skip
