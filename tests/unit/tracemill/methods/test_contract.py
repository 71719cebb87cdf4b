"""The contract of every method, variant and domain, also of users' templates."""

import re
from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracemill.methods import Call, Method, Shot, all_methods
from tracemill.methods.templates import TemplateMethod
from tracemill.prompts import DOMAINS, SLOT, render
from tracemill.settings import CallSettings, MethodSettings
from tracemill.verification.answers.kinds import Kind
from tracemill.verification.checks import Findings, Item, check

TEMPLATES: list[Method] = [
    TemplateMethod("my-own", MethodSettings(paper="arXiv:1234.56789", variants={"short": "{end}", "long": "Go on."})),
    TemplateMethod(
        "my-chain",
        MethodSettings(
            paper="arXiv:1234.56789",
            calls=[CallSettings(name="plan"), CallSettings(name="act", user="{question} {plan} {gold} {trace}")],
        ),
    ),
]
BUILT_IN = [name for name, method in all_methods().items() if not isinstance(method, TemplateMethod)]
METHODS = {name: all_methods()[name] for name in BUILT_IN} | {method.name: method for method in TEMPLATES}
CHAINS = [
    pytest.param(method, domain, variant, id=f"{name}-{domain}-{variant}")
    for name, method in METHODS.items()
    for domain in DOMAINS
    for variant in method.variants(domain, ())
]
KINDS: tuple[Kind, ...] = ("number", "expression", "choice", "boolean", "text", "code")
HOSTILE = (
    "1. ", "<think>", "</think>", "<think>a</think>", "Step 1: ", "\nStep 1: 1 = ", "1=", "1 + 1 = 3\n",
    "The answer is ",
    "The answer is 1. ", "answer for answer ",
    "\\boxed{", "\\boxed{1} = ", "#### 1\n", "####", "<answer>",
    "</answer>", "```", "```python\n", "the hint says ",
    "hint ", "as the given answer ", "match the correct ", "wrong ",
    "incorrectly ",
    "the mistake is", "should have ", "draft ", "my draft ", "\n", " ", ". ", "(", "{", "a", "0", "\x00",
    "é", "\ud800",
)  # fmt: skip
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
every_chain = pytest.mark.parametrize(("method", "domain", "variant"), CHAINS)


def chain(method: Method, domain: str, variant: str) -> tuple[Call, ...]:
    return method.variants(domain, ())[variant]


def slots(call: Call) -> set[str]:
    return {slot for message in call.prompt.messages for slot in SLOT.findall(message["content"])}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_method_has_a_kebab_case_name_and_a_paper_with_its_number(name: str) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert all_methods()[name].name == name
    assert re.search(r"arXiv:\d{4}\.\d{5}", all_methods()[name].paper)


@every_chain
def test_a_chain_uses_the_question_and_everything_that_it_needs(method: Method, domain: str, variant: str) -> None:
    calls = chain(method, domain, variant)
    used = set().union(*map(slots, calls))
    names = {call.name for call in calls}
    assert "question" in slots(calls[0])
    assert used - names == {"question", *method.needs}
    assert names - used <= {calls[-1].name}, "no later call quotes this call, so its cost is wasted"


@every_chain
def test_a_call_quotes_only_earlier_calls(method: Method, domain: str, variant: str) -> None:
    known = {"question", *method.needs}
    for call in chain(method, domain, variant):
        assert re.fullmatch("[a-z_]+", call.name)
        assert call.name not in known
        assert slots(call) <= known
        known.add(call.name)


@every_chain
def test_a_filled_prompt_holds_no_slot(method: Method, domain: str, variant: str) -> None:
    filled: dict[str, str] = dict.fromkeys(["question", *method.needs], "words")
    for call in chain(method, domain, variant):
        messages = render(call.prompt, filled)
        assert messages[-1]["role"] == "user"
        assert all(message["content"].strip() for message in messages)
        assert not any(SLOT.search(message["content"]) for message in messages)
        filled[call.name] = "words"


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("domain", DOMAINS)
def test_each_domain_has_its_own_instructions(name: str, domain: str) -> None:
    for calls in all_methods()[name].variants(domain, ()).values():
        texts = [" ".join(message["content"] for message in call.prompt.messages) for call in calls]
        assert all(("no medical advice" in system) == (domain == "medical") for system in texts)
        assert all(("cite the rule, statute or case" in system) == (domain == "legal") for system in texts)
        end = {"code": "```python", "math": r"final answer within \boxed{}."}.get(
            domain, 'sentence: "The answer is N."'
        )
        assert end in texts[-1]
        assert "  " not in "".join(texts)


@every_method
def test_all_domains_have_the_same_variants_with_different_prompts(method: Method) -> None:
    names = {tuple(method.variants(domain, ())) for domain in DOMAINS}
    assert len(names) == 1
    for domain in DOMAINS:
        hashes = [calls[-1].prompt.hash for calls in method.variants(domain, ()).values()]
        assert len(set(hashes)) == len(hashes)


@every_method
def test_examples_are_shown_before_the_question(method: Method) -> None:
    for calls in method.variants("math", [Shot("1 + 1?", "The answer is 2.")]).values():
        turns = [message["content"] for message in calls[0].prompt.messages if message["role"] != "system"]
        example, _, request = turns[0].partition("\n")
        assert (example, turns[1]) == ("1 + 1?", "The answer is 2.")
        assert "{question}" in turns[2]
        assert turns[2].endswith(request)


@every_method
@pytest.mark.parametrize("kind", KINDS)
def test_thoughts_are_separated_from_the_answer(method: Method, kind: Kind) -> None:
    answer = "```python\nf = 7\n```" if kind == "code" else "Step 1: 3 + 4 = 7.\nThe answer is (B) 7, yes."
    parsed = method.parse(f"<think>The answer is 5. Hmm. 2 + 3 = 5</think>{answer}", kind)
    assert "think>" not in parsed.reasoning
    assert "5" not in (parsed.answer or "")
    assert not any("5" in step["text"] for step in parsed.steps)


@every_method
def test_a_plain_trace_is_read_and_every_step_has_its_text(method: Method) -> None:
    parsed = method.parse("Step 1: 3 + 4 = 7.\nStep 2: 7 - 2 = 5.\nThe answer is 5.", "number")
    assert (parsed.answer, parsed.answer_form) == ("5", "stated")
    assert parsed.reasoning.startswith("Step 1: 3 + 4 = 7.")
    assert all(isinstance(step["text"], str) for step in parsed.steps)


PIECES = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join), st.sampled_from(KINDS))
def test_no_text_makes_a_method_raise(text: str, kind: Kind) -> None:
    findings = check(Item(text, question="How many?", kind=kind))
    for method in METHODS.values():
        parsed = method.parse(text, kind)
        assert all("text" in step for step in parsed.steps)
        assert method.refusal(text, findings) is None or method.refusal(text, findings)
        assert method.refusal(text, Findings(None, "")) != ""


def seconds_of(work: Callable[[], object]) -> float:
    """Processor time of `work`, which other processes do not change."""
    start = process_time()
    work()
    return process_time() - start


@pytest.mark.parametrize("piece", HOSTILE, ids=ascii)
@pytest.mark.parametrize("name", ["cot", "stepwise", "rationalize", "refine", "contrast"])
def test_a_megabyte_is_read_in_less_than_a_second(name: str, piece: str) -> None:
    method, text = METHODS[name], piece * (1_000_000 // len(piece))
    findings = Findings(None, "", answer="1", kind="number")
    assert seconds_of(lambda: method.parse(text, "number")) < 1
    assert seconds_of(lambda: method.refusal(text, findings)) < 1
