"""The prompt of `cot` never changes, because earlier students were trained on it."""

from tracemill.methods import named


def test_the_cot_prompt_of_mathematics_never_changes() -> None:
    (call,) = named("cot").variants("math", ())[""]
    assert call.prompt.hash == "p1:c74952a96ec2a088acf88a468d9df51f"
