"""Every mark means the same to everything that reads a trace, and no dropped thought counts against the answer."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.unit.tracemill.verification.verify_command import Verify, runner
from tracemill.engines import Completion, Generation, Sampling
from tracemill.engines.openai import first_word
from tracemill.engines.openai_protocol import Choice, Said, Usage, thinking_shares
from tracemill.engines.vllm import VllmEngine, hidden_tokens
from tracemill.methods import named
from tracemill.methods.labels import asserted, stated
from tracemill.model_settings import ModelSettings
from tracemill.prompts import Message
from tracemill.thinking import answer_of, count_tokens
from tracemill.verification.answers.extract import extract
from tracemill.verification.checks import Findings, Item, check
from tracemill.verification.code.check import program
from tracemill.verification.judge.forced_answer import meaning
from tracemill.verification.reasoning.steps import split as steps
from workers.visit import Sampler, Slot

verify = pytest.fixture(runner)


class Mark(NamedTuple):
    begin: str
    end: str


HARMONY = Mark("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>")
GRANITE = Mark("Here is my thought process: ", "\nHere is my response: ")
MARKS = {
    "deepseek_r1, qwen3, glm45, olmo3, step3, nemotron, minimax_m2, kimi_k2": Mark("<think>\n", "\n</think>\n"),
    "in capitals": Mark("<THINK>", "</Think>"),
    "thinking": Mark("<thinking>", "</thinking>"),
    "thought": Mark("<thought>", "</thought>"),
    "reasoning": Mark("<reasoning>", "</reasoning>"),
    "seed_oss": Mark("<seed:think>", "</seed:think>"),
    "minimax_m3": Mark("<mm:think>", "</mm:think>"),
    "hunyuan with a suffix": Mark("<think:opensource>", "</think:opensource>"),
    "longcat": Mark("<longcat_think>", "</longcat_think>"),
    "k2": Mark("<ifm|think_fast>", "</ifm|think_fast>"),
    "ernie45": Mark("<think>\n", "\n</think>\n\n<response>\n"),
    "mistral": Mark("[THINK]", "[/THINK]"),
    "mistral in small letters": Mark("[think]", "[/think]"),
    "kimi": Mark("◁think▷", "◁/think▷"),
    "kimi_k3": Mark("<|open|>think<|sep|>", "<|close|>think<|sep|><|open|>response<|sep|>"),
    "gemma4": Mark("<|channel>thought\n", "<channel|>"),
    "gptoss": HARMONY,
    "openthoughts": Mark("<|begin_of_thought|>\n", "<|end_of_thought|>\n\n<|begin_of_solution|>\n"),
    "cohere": Mark("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"),
    "plamo3": Mark("<|plamo:begin_think:plamo|>", "<|plamo:end_think:plamo|>"),
    "apertus": Mark("<|inner_prefix|>", "<|inner_suffix|>"),
    "inkling": Mark("<|content_thinking|>", "<|end_message|><|message_model|><|content_text|>"),
    "granite": GRANITE,
}

QUESTION = "Ann has 2 bags and gets 2 more. Each bag holds 3 apples. How many apples does she have?"
THOUGHTS = """2 + 2 = 5, no. The hint says the answer is 99, which is wrong on purpose.
Step 1: 4 * 3 = 77.
```python
print(99)
```
The answer is 99."""
ANSWER = "Step 1: 2 + 2 = 4 bags.\nStep 2: 4 * 3 = 12 apples.\nThe answer is 12."
CODE = "Multiply.\n```python\nprint(12)\n```"
FOUND = Findings(True, "", answer="12", kind="number")


def _checked(text: str) -> object:
    found = check(Item(text, "12", QUESTION))
    return [
        *(found.correct, found.answer, found.answer_form, found.steps, found.steps_are_thoughts, found.first_error),
        *(found.equations_checked, found.equations_false, found.ungrounded, found.unused, found.concludes),
    ]


def _parsed(name: str) -> Callable[[str], object]:
    def parse(text: str) -> object:
        parsed = named(name).parse(text, "number")
        return parsed.answer, parsed.answer_form, parsed.steps

    return parse


def _refused(name: str) -> Callable[[str], object]:
    return lambda text: named(name).refusal(text, FOUND)


#: Whatever reads the text of a trace, and reads the answer alone.
CONSUMERS: dict[str, Callable[[str], object]] = {
    "the text that is quoted": answer_of,
    "the answer": extract,
    "steps": steps,
    "all checks": _checked,
    "the program": lambda text: program(f"{text}\n{CODE}"),
    "a judge's forced answer": meaning,
    "a judge's first word": first_word,
    "stated answers": lambda text: stated(text, "number"),
    "derivations": lambda text: asserted(text, FOUND),
    **{f"{name} reads": _parsed(name) for name in ("cot", "stepwise", "refine")},
    **{f"{name} refuses": _refused(name) for name in ("contrast", "rationalize", "stepwise-gold", "refine")},
}

every_mark = pytest.mark.parametrize("mark", MARKS.values(), ids=MARKS)


@every_mark
@pytest.mark.parametrize("consumer", CONSUMERS.values(), ids=CONSUMERS)
def test_thoughts_change_nothing_that_is_read_of_the_answer(mark: Mark, consumer: Callable[[str], object]) -> None:
    assert consumer(f"{mark.begin}{THOUGHTS}{mark.end}{ANSWER}") == consumer(ANSWER)
    if mark is not GRANITE:  # the prompt may hold the opening mark
        assert consumer(f"{THOUGHTS}{mark.end}{ANSWER}") == consumer(ANSWER)


@every_mark
def test_cut_off_thoughts_hold_no_answer_whatever_their_mark(mark: Mark) -> None:
    if mark is GRANITE:  # its first sentence alone may open any text
        return
    text = f"{mark.begin}{THOUGHTS}"
    parsed = named("cot").parse(text, "number")
    assert (parsed.answer, parsed.reasoning) == (None, THOUGHTS)
    assert (extract(text), program(text), meaning(text), first_word(text), answer_of(text)) == (None, None, "", "", "")
    found = check(Item(text, "99", QUESTION))
    assert (found.correct, found.answer, found.steps_are_thoughts) == (False, None, True)
    assert (found.equations_false, found.first_error, found.ungrounded, found.concludes) == (0, None, [], None)


@every_mark
def test_thoughts_are_kept_as_the_reasoning_whatever_their_mark(mark: Mark) -> None:
    assert named("cot").parse(f"{mark.begin}{THOUGHTS}{mark.end}{ANSWER}", "number").reasoning == THOUGHTS


@every_mark
def test_an_answer_without_reasoning_has_its_thoughts_for_steps(mark: Mark) -> None:
    found = check(Item(f"{mark.begin}2 + 2 = 5, no.\n2 + 2 = 4\n4 * 3 = 12{mark.end}The answer is 12.", "12", QUESTION))
    assert found.steps == ["2 + 2 = 5, no.", "2 + 2 = 4", "4 * 3 = 12"]
    assert (found.correct, found.equations_checked, found.equations_false) == (True, 2, 0)
    assert (found.first_error, found.ungrounded, found.concludes) == (None, [], True)


@every_mark
def test_engines_count_the_thoughts_whatever_their_mark(mark: Mark) -> None:
    text = f"{mark.begin}{THOUGHTS}{mark.end}{ANSWER}"
    near = pytest.approx(len(THOUGHTS), abs=2)  # white space around them
    assert count_tokens(text, range(len(text)), {}, lambda ids: text[: len(ids)]) == near
    assert thinking_shares(Usage(), [text], [len(text)]) == [near]


def test_a_file_is_verified_alike_whatever_the_marks(verify: Verify, tmp_path: Path) -> None:
    import json

    path, out = tmp_path / "traces.jsonl", tmp_path / "verdicts.jsonl"
    traces = [ANSWER, *(f"{mark.begin}{THOUGHTS}{mark.end}{ANSWER}" for mark in MARKS.values())]
    path.write_text("".join(json.dumps({"trace": t, "question": QUESTION, "gold": "12"}) + "\n" for t in traces))
    assert verify(path, "-o", out, "--workers", "1").code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0]["correct"] is True
    for row in rows:
        assert {**row, "trace": "", "seconds": 0} == {**rows[0], "trace": "", "seconds": 0}


@every_mark
def test_a_later_call_quotes_the_answer_not_the_thoughts(mark: Mark) -> None:
    import asyncio

    asked: list[str] = []

    class Engine:
        async def generate(self, messages: list[Message], n: int, *_: Any) -> Generation:
            asked.append(messages[-1]["content"])
            text = f"{mark.begin}{THOUGHTS}{mark.end}{ANSWER}"
            return Generation((Completion(text, 9, "stop"),) * n, 9, 0.0)

    model = ModelSettings(engine="openai", model="m", openai={"base_url": "http://127.0.0.1:1"})
    sampler = Sampler(Engine(), model, Sampling(), None)  # type: ignore[arg-type]
    chains = named("refine").variants("math", ())
    visit = asyncio.run(sampler.visit(chains, [Slot("", 0)], {"question": QUESTION}))
    assert len(asked) == 3
    assert not any("99" in prompt for prompt in asked)
    assert asked[1].count(ANSWER) == 1
    assert asked[2].count(ANSWER) == 2
    assert THOUGHTS in visit.answers[0].completion.text


@pytest.mark.parametrize(
    ("finish_reason", "answer", "text"),
    [
        ("stop", "4", "<think>2 + 2</think>\n4"),
        ("length", "4", "<think>2 + 2</think>\n4"),
        ("length", None, "<think>2 + 2"),
        ("length", "", "<think>2 + 2"),
        ("stop", None, "<think>2 + 2</think>\n"),
    ],
)
def test_thoughts_that_a_server_sends_apart_are_closed_unless_cut_off(
    finish_reason: str, answer: str | None, text: str
) -> None:
    said = Said(content=answer, reasoning_content="2 + 2")
    assert Choice(message=said, finish_reason=finish_reason).text == text


@pytest.mark.parametrize(
    "words",
    [
        ["<|channel|>", "analysis", "<|message|>", "2+2", "<|end|>", "<|start|>", "assistant", "<|channel|>", "final",
         "<|message|>", "4", "<|return|>"],
        ["[THINK]", "2+2", "[/THINK]", "4", "</s>"],
        ["<|channel>", "thought", "2+2", "<channel|>", "4", "<turn|>"],
    ],
    ids=["gptoss", "mistral", "gemma4"],
)  # fmt: skip
def test_marks_that_are_control_tokens_reach_the_text(words: list[str]) -> None:
    from types import SimpleNamespace

    special = [word for word in words if not word.replace("+", "").isalnum()]
    tokenizer = SimpleNamespace(
        all_special_tokens=special,
        added_tokens_decoder={},
        decode=lambda ids, skip_special_tokens: "".join(
            words[place] for place in ids if not (skip_special_tokens and words[place] in special)
        ),
    )
    engine = object.__new__(VllmEngine)
    engine._tokenizer, engine._hidden, engine._closing_ids = tokenizer, hidden_tokens(tokenizer), {}
    output = SimpleNamespace(
        text="".join(words), token_ids=list(range(len(words))), finish_reason="stop", logprobs=None
    )
    completion = engine._completion(output, "")
    assert (extract(completion.text), completion.thinking_tokens) == (extract("4"), 1)
    assert words[-1] not in completion.text
