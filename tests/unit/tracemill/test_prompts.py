"""Prompts: data with a hash, filled without ever reading the question as a template."""

from tracemill.prompts import Prompt, render

ASK = Prompt(({"role": "system", "content": "Think."}, {"role": "user", "content": "Q: {question}"}))


def test_a_question_with_braces_is_data_and_not_a_template() -> None:
    assert render(ASK, {"question": "{answer} {question} {0}"})[1]["content"] == "Q: {answer} {question} {0}"


def test_the_hash_depends_on_the_content_alone() -> None:
    same = Prompt(({"content": "Think.", "role": "system"}, {"content": "Q: {question}", "role": "user"}))
    assert ASK.hash == same.hash
    assert ASK.hash != Prompt(ASK.messages[1:]).hash


def test_the_same_template_gives_every_sample_of_a_question_the_same_prompt() -> None:
    assert render(ASK, {"question": "1+1?"}) == render(ASK, {"question": "1+1?"})
