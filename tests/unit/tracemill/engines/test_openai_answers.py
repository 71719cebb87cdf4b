"""Answers of a scripted server (no model): refusals, thoughts, log-probabilities and rate limits."""

import asyncio
import time
from typing import Any

import pytest

from tests.scripted_server import ANSWER, Fault, token_id
from tests.unit.tracemill.engines.conftest import SAMPLING, Start, body, choice_of
from tests.unit.tracemill.engines.engine_contract import QUESTION
from tracemill.engines import Completion, Generation, Sampling
from tracemill.engines.openai import OpenaiEngine
from tracemill.errors import EngineAway, RequestRefused
from tracemill.event_loop import run
from tracemill.logprobs import TopK

LIKELY = Sampling(max_tokens=64, logprobs=2)


def completions(start: Start, answer: str, n: int = 1, sampling: Sampling = SAMPLING) -> tuple[Completion, ...]:
    _, engine = start(faults=[answer])
    return run(engine.generate(QUESTION, n, sampling)).completions


@pytest.mark.parametrize(
    ("choice", "text", "reason"),
    [
        (choice_of(refusal="I won't."), "I won't.", "refusal"),
        (choice_of(content=None, refusal="I won't."), "I won't.", "refusal"),
        (choice_of(content="Well, ", refusal="no"), "Well, ", "refusal"),
        (choice_of(content="Half") | {"finish_reason": "content_filter"}, "Half", "content_filter"),
        (choice_of(content=None) | {"finish_reason": "content_filter"}, "", "content_filter"),
        (choice_of(content=None, reasoning_content="hm", refusal="no"), "<think>hm</think>\nno", "refusal"),
    ],
)
def test_a_refusal_is_an_answer_that_says_so(start: Start, choice: dict[str, Any], text: str, reason: str) -> None:
    for sampling in (SAMPLING, LIKELY):
        (completion,) = completions(start, body(choice), sampling=sampling)
        assert (completion.text, completion.finish_reason, completion.logprobs) == (text, reason, None)


@pytest.mark.parametrize(
    ("usage", "thinking"),
    [
        ({"completion_tokens": 100, "completion_tokens_details": {"reasoning_tokens": 60}}, [20, 40, 0]),
        ({"completion_tokens": 100}, [21, 42, 0]),
        ({"completion_tokens": 100, "completion_tokens_details": None}, [21, 42, 0]),
        ({"completion_tokens": 100, "completion_tokens_details": {"reasoning_tokens": None}}, [21, 42, 0]),
        ({"completion_tokens": 100, "completion_tokens_details": {"reasoning_tokens": 10**9}}, [33, 53, 0]),
        ({}, [0, 0, 0]),
    ],
)
def test_thoughts_are_counted_by_the_server_or_by_their_share_of_the_text(
    start: Start, usage: dict[str, Any], thinking: list[int]
) -> None:
    choices = [
        choice_of(content="4" * 9, reasoning_content="x" * 50),
        choice_of(content="<think>" + "x" * 100 + "</think>" + "4" * 10),
        choice_of(content="4" * 32),
    ]
    samples = completions(start, body(*choices, usage=usage), n=3)
    assert sum(completion.tokens for completion in samples) == usage.get("completion_tokens", 0)
    assert [completion.thinking_tokens for completion in samples] == pytest.approx(thinking, abs=2)
    assert all(completion.thinking_tokens <= completion.tokens for completion in samples)


def test_hidden_thoughts_are_shared_in_proportion_to_the_tokens(start: Start) -> None:
    usage = {"completion_tokens": 200, "completion_tokens_details": {"reasoning_tokens": 150}}
    samples = completions(start, body(choice_of(content="4"), choice_of(content="4"), usage=usage), n=2)
    assert [(completion.tokens, completion.thinking_tokens) for completion in samples] == [(100, 75), (100, 75)]


def test_the_likeliest_tokens_are_requested_with_vllms_parameters(start: Start) -> None:
    server, engine = start(lambda _: "It is 4")
    (completion,) = run(engine.generate(QUESTION, 1, LIKELY)).completions
    request = server.requests[0][1]
    assert (request["logprobs"], request["top_logprobs"], request["return_tokens_as_token_ids"]) == (True, 3, True)
    ids = tuple((token_id(word), token_id(word) + 1) for word in ("It", "is", "4"))
    assert completion.logprobs == TopK(tuple(row[0] for row in ids), ids, ((-0.1, -4.5),) * 3)


def position(token: str, logprob: float, *likely: tuple[str, float]) -> dict[str, Any]:
    return {
        "token": token,
        "logprob": logprob,
        "top_logprobs": [{"token": other, "logprob": value} for other, value in likely],
    }


def answered(*positions: dict[str, Any]) -> str:
    return body(choice_of(content="4") | {"logprobs": {"content": list(positions)}})


def test_an_unlikely_chosen_token_is_last_in_its_row(start: Start) -> None:
    # vLLM counts the chosen token among the requested ones, so the engine requests one more than it needs.
    unlikely = position("token_id:9", -7, ("token_id:9", -7), ("token_id:1", -0.5), ("token_id:2", -1))
    likely = position("token_id:2", -1, ("token_id:1", -0.5), ("token_id:2", -1), ("token_id:3", -2))
    (completion,) = completions(start, answered(unlikely, likely), sampling=LIKELY)
    assert completion.logprobs == TopK((9, 2), ((1, 2, 9), (1, 2)), ((-0.5, -1, -7), (-0.5, -1)))
    assert completion.tokens == 2


@pytest.mark.parametrize(
    ("positions", "reason"),
    [
        ([], "gives no log-probabilities"),
        ([position("4", -1, ("4", -1), ("5", -2))], "by token id"),
        ([position("token_id:1", -1, ("4", -1), ("5", -2))], "by token id"),
        ([position("4", -1, ("token_id:1", -1), ("token_id:2", -2))], "by token id"),
        ([position("token_id:1", -1)], "2 likeliest tokens by token id"),
        ([position("token_id:99999999", -1, ("token_id:1", -1), ("token_id:2", -2))], "by token id"),
        ([position("token_id:-1", -1, ("token_id:1", -1), ("token_id:2", -2))], "by token id"),
        ([position("token_id:1", -1, ("token_id:1", -1), ("token_id:1", -2))], "by token id"),
    ],
)
def test_unusable_log_probabilities_are_refused_with_advice(
    start: Start, positions: list[dict[str, Any]], reason: str
) -> None:
    with pytest.raises(RequestRefused, match=rf"{reason}.* Use vLLM's server"):
        completions(start, answered(*positions), sampling=LIKELY)


@pytest.mark.parametrize(
    "script", [{"ignores": {"return_tokens_as_token_ids"}}, {"refuses": {"top_logprobs"}}], ids=str
)
def test_the_error_for_missing_token_ids_names_the_server_and_advice(start: Start, script: dict[str, Any]) -> None:
    server, engine = start(**script)
    with pytest.raises(RequestRefused, match=r"^http.* Use vLLM's server or engine = \"vllm\"") as caught:
        run(engine.generate(QUESTION, 1, LIKELY))
    assert server.base_url in str(caught.value)
    assert len(server.requests) == 1


def test_log_probabilities_above_0_become_0(start: Start) -> None:
    odd = position("token_id:1", 9999, ("token_id:1", 9999), ("token_id:2", -9999))
    (completion,) = completions(start, answered(odd), sampling=LIKELY)
    assert completion.logprobs is not None
    assert completion.logprobs.logprobs == ((0, -9999),)


async def together(engine: OpenaiEngine, requests: int) -> list[Generation]:
    return await asyncio.gather(*(engine.generate(QUESTION, 1, SAMPLING) for _ in range(requests)))


def timed(engine: OpenaiEngine, requests: int) -> float:
    started = time.monotonic()
    assert len(run(together(engine, requests))) == requests
    return time.monotonic() - started


def test_a_retry_after_delays_all_requests(start: Start) -> None:
    server, engine = start(faults=[Fault.BUSY])

    async def one_then_more() -> float:
        first = asyncio.create_task(engine.generate(QUESTION, 1, SAMPLING))
        await asyncio.sleep(0.3)  # now it has its answer: retry after one second
        started = time.monotonic()
        await together(engine, 2)
        await first
        return time.monotonic() - started

    assert 0.7 <= run(one_then_more()) < 4
    assert len(server.requests) == 4


def test_requests_keep_to_the_allowed_number_a_minute(start: Start) -> None:
    server, engine = start(requests_per_minute=1200)
    assert 1.5 < timed(engine, 60) < 5  # 20 at once, 40 at 20 a second
    assert len(server.requests) == 60


def test_requests_keep_to_the_tokens_that_are_allowed_a_minute(start: Start) -> None:
    words = len(ANSWER.split()) + sum(len(message["content"].split()) for message in QUESTION)
    _, engine = start(tokens_per_minute=1200 * words)
    run(together(engine, 1))  # now it knows the real size of an answer
    assert 1.5 < timed(engine, 60) < 8


def test_waiting_for_the_rate_limit_is_not_part_of_the_request(start: Start) -> None:
    _, engine = start(requests_per_minute=120, timeout_seconds=0.3)
    generations = run(together(engine, 4))
    assert all(generation.seconds < 0.3 for generation in generations)


def test_all_requests_to_a_busy_server_are_answered_later(start: Start) -> None:
    server, engine = start(faults=[Fault.BUSY] * 30)
    timed(engine, 60)
    assert len(server.requests) == 90


def test_a_server_that_always_answers_429_is_away(start: Start) -> None:
    server, engine = start(faults=[Fault.BUSY] * 5)
    with pytest.raises(EngineAway, match="429"):
        run(engine.generate(QUESTION, 1, SAMPLING))
    assert len(server.requests) == 5
