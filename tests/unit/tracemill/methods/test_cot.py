"""The prompt that every student of the past was trained on stays what it was."""

from tracemill.methods import named


def test_cot_asks_about_mathematics_with_the_prompt_that_it_always_had() -> None:
    (call,) = named("cot").variants("math", ())[""]
    assert call.prompt.hash == "p1:c74952a96ec2a088acf88a468d9df51f"
