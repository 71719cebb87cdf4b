"""Prompts: data with a hash; a question is never read as a template."""

from tracemill.prompts import Prompt, render

ASK = Prompt(({"role": "system", "content": "Think."}, {"role": "user", "content": "Q: {question}"}))


def test_a_question_with_braces_is_data_and_not_a_template() -> None:
    assert render(ASK, {"question": "{answer} {question} {0}"})[1]["content"] == "Q: {answer} {question} {0}"


def test_only_the_slot_is_filled_and_the_template_stays_as_it_is() -> None:
    for question in ("1+1?", "2+2?"):
        assert render(ASK, {"question": question}) == [
            {"role": "system", "content": "Think."},
            {"role": "user", "content": f"Q: {question}"},
        ]


def test_the_hash_depends_on_the_content_alone() -> None:
    same = Prompt(({"content": "Think.", "role": "system"}, {"content": "Q: {question}", "role": "user"}))
    assert ASK.hash == same.hash
    assert ASK.hash != Prompt(ASK.messages[1:]).hash
