"""Users' methods: a few lines in the settings file, and errors that name the wrong key."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.conftest import forget
from tracemill.errors import UsageError
from tracemill.methods import Method, Shot, all_methods, named
from tracemill.prompts import render

EXAMPLE = ROOT / "tracemill.example.toml"


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "tracemill.toml"
    file.touch()
    with monkeypatch.context() as patch:
        patch.setenv("TRACEMILL_CONFIG", str(file))
        forget()
        yield file
    forget()


def texts(method: Method, domain: str = "math", variant: str = "") -> list[str]:
    (call,) = method.variants(domain, ())[variant]
    return [message["content"] for message in call.prompt.messages]


def test_two_lines_make_a_method(toml: Path) -> None:
    toml.write_text('[methods.detective]\nsystem = "Rule out what cannot be."\n')
    method = named("detective")
    assert texts(method) == ["Rule out what cannot be.", "{question}"]
    assert (method.needs, method.negative, method.paper) == (frozenset(), False, "")
    assert "detective" in all_methods()
    assert "cot" in all_methods()


def test_without_a_system_message_there_is_none(toml: Path) -> None:
    toml.write_text('[methods.bare]\nuser = "Q: {question}"\n')
    assert texts(named("bare")) == ["Q: {question}"]


def test_the_needs_of_a_method_follow_from_its_slots(toml: Path) -> None:
    toml.write_text('[methods.told]\nuser = "{question} {gold} {trace}"\nnegative = true\npaper = "me"\n')
    method = named("told")
    assert (method.needs, method.negative, method.paper) == (frozenset({"gold", "trace"}), True, "me")


def test_the_domains_instructions_fill_the_slots_work_and_end(toml: Path) -> None:
    toml.write_text('[methods.wise]\nsystem = "Be wise. {work} {end}"\n')
    assert "cite the rule" in texts(named("wise"), "legal")[0]
    assert texts(named("wise"), "general")[0].startswith('Be wise. End with one sentence: "The answer is N."')


def test_variants_are_system_messages_by_name(toml: Path) -> None:
    toml.write_text('[methods.voices]\nuser = "Q: {question}"\nvariants = { child = "Be simple.", poet = "Rhyme." }\n')
    method = named("voices")
    assert list(method.variants("math", ())) == ["child", "poet"]
    assert texts(method, variant="poet") == ["Rhyme.", "Q: {question}"]


def test_a_chain_quotes_its_earlier_calls_and_shows_examples_once(toml: Path) -> None:
    toml.write_text(
        "[methods.plan-first]\n"
        'calls = [{ name = "plan" }, { name = "answer", system = "Do it.", user = "{question}: {plan}" }]\n'
    )
    plan, answer = named("plan-first").variants("math", [Shot("1?", "One.")])[""]
    assert [message["content"] for message in plan.prompt.messages] == ["1?", "One.", "{question}"]
    assert render(answer.prompt, {"question": "2?", "plan": "Think."})[1]["content"] == "2?: Think."


def test_latex_braces_are_not_slots(toml: Path) -> None:
    toml.write_text("[methods.boxed]\nsystem = 'Write \\boxed{answer} and $\\frac{a}{b}$, x^{n}.'\n")
    assert texts(named("boxed"))[0] == r"Write \boxed{answer} and $\frac{a}{b}$, x^{n}."


@pytest.mark.parametrize(
    ("toml_text", "message"),
    [
        ('[methods.cot]\nsystem = "x"', r"methods\.cot: a method of that name exists already"),
        ('[methods.My_Own]\nsystem = "x"', r"methods\.My_Own: a name has small letters"),
        (
            '[methods.a]\nuser = "{questoin}"',
            r"methods\.a\.user: unknown slot \{questoin\}; known slots are \{question\}",
        ),
        ('[methods.a]\nsystem = "{qeustion}"', r"methods\.a\.system: unknown slot \{qeustion\}"),
        ('[methods.a]\nsystem = " "', r"methods\.a\.system: the text is empty"),
        ('[methods.a]\nuser = ""', r"methods\.a\.user: the text is empty"),
        ('[methods.a]\nuser = "Hello"', r"methods\.a: no text holds \{question\}"),
        ('[methods.a]\nvariants = { x = "" }', r"methods\.a\.variants\.x: the text is empty"),
        ('[methods.a]\nvariants = { "X Y" = "b" }', r"methods\.a\.variants: the name 'X Y'"),
        ("[methods.a]\nvariants = {}", r"methods\.a\.variants is empty"),
        ("[methods.a]\ncalls = []", r"methods\.a\.calls is empty"),
        ('[methods.a]\nsystem = "x"\nvariants = { x = "y" }', r"methods\.a: system and variants exclude each other"),
        ('[methods.a]\nuser = "x"\ncalls = [{ name = "b" }]', r"methods\.a: calls and user exclude each other"),
        (
            '[methods.a]\ncalls = [{ name = "b", user = "{question} {c}" }, { name = "c" }]',
            r"methods\.a\.calls\[0\]\.user: \{c\} is a later call",
        ),
        (
            '[methods.a]\ncalls = [{ name = "b", user = "{question} {b}" }]',
            r"methods\.a\.calls\[0\]\.user: \{b\} is a later call",
        ),
        (
            '[methods.a]\ncalls = [{ name = "b" }, { name = "b" }]',
            r"methods\.a\.calls\[1\]\.name: 'b' is taken",
        ),
        ('[methods.a]\ncalls = [{ name = "gold" }]', r"methods\.a\.calls\[0\]\.name: 'gold' is taken"),
        (
            '[methods.a]\ncalls = [{ name = "B 1" }]',
            r"methods\.a\.calls\[0\]\.name: 'B 1' must have only small letters",
        ),
        ('[methods.a]\nsytem = "x"', r"methods\.a\.sytem"),
    ],
)
def test_an_error_names_the_wrong_key(toml: Path, toml_text: str, message: str) -> None:
    toml.write_text(toml_text)
    with pytest.raises(UsageError, match=message):
        all_methods()


def test_the_uncommented_templates_of_the_example_file_work(toml: Path) -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    start = lines.index("# [methods.detective]")
    section = lines[start : lines.index("[feeder]") - 1]
    shown = [line.removeprefix("# ") for line in section if not line[2:3].isupper()]
    toml.write_text("\n".join(shown))
    assert {"detective", "voices", "plan-first"} <= all_methods().keys()
