"""The cost limit of a visit, which a job with a budget reserves: no visit costs more."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tracemill.engines import Completion, Generation, Sampling, Score
from tracemill.methods import Call, all_methods
from tracemill.model_settings import ModelSettings
from tracemill.prompts import Message, Prompt
from workers.visit import Sampler, Visit, cost_limit, slots, token_limit

#: A token of an answer: three bytes, and still one token in a prompt that quotes it.
WORD = "\ue000"


class Costly:
    """An engine whose prompts and answers have the maximum cost."""

    stalled_seconds = 0.0

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        contents = "".join(message["content"] for message in messages)
        tokens_in = 100 + contents.count(WORD) + len(contents.replace(WORD, "").encode())
        answer = Completion(WORD * sampling.max_tokens, sampling.max_tokens, "length")
        return Generation((answer,) * n, tokens_in, 0.1)

    async def choose(self, messages: list[Message], choices: Sequence[str]) -> None:
        return None

    async def score(self, messages: list[Message], continuation: str, adapter: Path | None = None) -> Score | None:
        return None

    async def close(self) -> None:
        return None


Chains = dict[str, tuple[Call, ...]]

words = st.text(st.characters(exclude_characters=WORD + "{}", exclude_categories=["Cs"]), max_size=30)
prices = st.floats(0, 1000)
SLOTS = ("question", "gold", "trace")


@st.composite
def chain(draw: st.DrawFn) -> tuple[Call, ...]:
    """One to three calls whose prompts quote the available slots any number of times."""
    calls: list[Call] = []
    for name in ("draft", "critique", "answer")[: draw(st.integers(1, 3))]:
        quoted = st.sampled_from([*SLOTS, *(call.name for call in calls)]).map(lambda slot: f"{{{slot}}}")
        parts = draw(st.lists(words | quoted, max_size=6))
        calls.append(Call(name, Prompt(({"role": "user", "content": "".join(parts)},))))
    return tuple(calls)


chains = st.lists(chain(), min_size=1, max_size=4).map(
    lambda variants: {str(n): calls for n, calls in enumerate(variants)}
)
texts = st.fixed_dictionaries(dict.fromkeys(SLOTS, words))


def visit(
    variants: Chains, samples: int, have: int, values: Mapping[str, str], model: ModelSettings, tokens: int
) -> Visit:
    missing = slots(variants, samples)[have:]
    return asyncio.run(Sampler(Costly(), model, Sampling(max_tokens=tokens), None).visit(variants, missing, values))


def call(name: str, content: str) -> Call:
    return Call(name, Prompt(({"role": "user", "content": content},)))


NONE = {"question": "", "gold": "", "trace": ""}


@given(chains, st.integers(1, 9), st.integers(0, 8), texts, prices, prices, st.integers(1, 500))
@example({"short": (call("answer", "a"),), "long": (call("answer", "b" * 999),)}, 2, 0, NONE, 1.0, 1.0, 1)
@example({"": (call("answer", "{question}" * 9),)}, 1, 0, NONE | {"question": "q" * 999}, 1.0, 0.0, 1)
@example({"": (call("answer", "{trace}"),)}, 1, 0, NONE | {"trace": "t" * 999}, 0.0, 1.0, 1)
@example({"": (call("draft", "?"), call("answer", "{draft}" * 99))}, 5, 1, NONE, 1.0, 3.0, 500)
def test_no_visit_costs_more_than_its_limits(
    variants: Chains, samples: int, have: int, values: dict[str, str], price_in: float, price_out: float, tokens: int
) -> None:
    have = min(have, samples - 1)
    model = ModelSettings(price_in=price_in, price_out=price_out)
    brought = visit(variants, samples, have, values, model, tokens)
    limit = token_limit(variants, samples - have, {slot: len(text.encode()) for slot, text in values.items()}, tokens)
    assert len(brought.answers) == samples - have
    assert brought.tokens <= limit
    assert brought.cost <= cost_limit(limit, model) * (1 + 1e-9)
    assert brought.cost == pytest.approx(sum(answer.cost for answer in brought.answers))


def test_the_limit_of_the_most_expensive_visit_is_its_cost() -> None:
    variants = {"": (call("draft", "Q: {question}"), call("answer", "Q: {question} D: {draft}"))}
    brought = visit(variants, 3, 0, {"question": "1 + 1?"}, ModelSettings(price_in=2, price_out=2), 50)
    limit = token_limit(variants, 3, {"question": 6}, 50)
    # The limit counts the names of the slots, which the prompt does not contain.
    assert brought.tokens == limit - len("{question}") - 3 * len("{question}{draft}")
    assert brought.cost == pytest.approx(2e-6 * brought.tokens)


class Mute(Costly):
    """An engine that gives no answer but charges for the prompt."""

    async def generate(
        self, messages: list[Message], n: int, sampling: Sampling, adapter: Path | None = None
    ) -> Generation:
        return Generation((), 1000, 0.1)


def test_a_request_that_brought_no_answer_is_paid_for() -> None:
    sampler = Sampler(Mute(), ModelSettings(price_in=2, price_out=3), Sampling(), None)
    variants = {"": (call("answer", "{question}"),)}
    brought = asyncio.run(sampler.visit(variants, slots(variants, 2), {"question": "?"}))
    assert (brought.answers, brought.tokens, brought.cost) == ([], 1000, pytest.approx(0.002))


@pytest.mark.parametrize("name", all_methods())
def test_a_methods_visits_stay_within_their_limits(name: str) -> None:
    variants = dict(all_methods()[name].variants("math", ()))
    values = {"question": "What is 1 + 1?", "gold": "2", "trace": "1 + 1 = 2. The answer is 2."}
    brought = visit(variants, 8, 0, values, ModelSettings(), 64)
    limit = token_limit(variants, 8, {slot: len(text) for slot, text in values.items()}, 64)
    assert 0.5 * limit < brought.tokens <= limit
