"""The OpenAI engine with a scripted server (no model): its contract, and the faults of servers."""

import asyncio
import math
import socket
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tests.scripted_server import ANSWER, Fault
from tests.unit.tracemill.engines.conftest import KEY, SAMPLING, Start, body, choice_of, settings, texts
from tests.unit.tracemill.engines.engine_contract import QUESTION, EngineContract
from tracemill.engines import AliasEngine, Sampling, Score
from tracemill.engines.openai import OpenaiEngine
from tracemill.engines.openai_server import pause, retry_after
from tracemill.errors import EngineDead, EngineError, RequestRefused, UsageError
from tracemill.event_loop import run
from tracemill.sampling import SamplingSettings

USER_TEXT = QUESTION[-1]["content"]


class TestContract(EngineContract):
    @pytest.fixture
    def engine(self, start: Start) -> OpenaiEngine:
        return start()[1]


def test_the_request_holds_the_jobs_sampling(start: Start) -> None:
    server, engine = start()
    run(engine.generate(QUESTION, 3, Sampling(temperature=0.5, top_p=0.9, max_tokens=7, stop=("END",))))
    headers, request = server.requests[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert request == {
        "model": "scripted",
        "messages": QUESTION,
        "n": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "stop": ["END"],
    }


def test_values_that_nobody_set_are_left_to_the_server(start: Start) -> None:
    server, engine = start()
    run(engine.generate(QUESTION, 1, Sampling(temperature=None, top_p=None)))
    assert server.requests[0][1] == {"model": "scripted", "messages": QUESTION, "n": 1}


def test_further_sampling_and_keys_of_the_server_are_sent(start: Start) -> None:
    server, engine = start()
    further = {"top_k": 20, "min_p": 0.1, "presence_penalty": 1.5, "repetition_penalty": 1.1}
    options = {"chat_template_kwargs": {"enable_thinking": False}, "extra_body": {"reasoning_effort": "low", "n": 9}}
    run(engine.generate(QUESTION, 1, Sampling(None, None, thinking_tokens=64, **further, **options)))
    request = server.requests[0][1]
    assert request["chat_template_kwargs"] == {"enable_thinking": False}
    assert (request["reasoning_effort"], request["n"], request["thinking_token_budget"]) == ("low", 1, 64)
    assert {name: request[name] for name in further} == further


def test_a_server_that_refuses_max_tokens_gets_the_limit_by_its_newer_name(start: Start) -> None:
    server, engine = start(refuses={"max_tokens"}, refusal="Unsupported: max_tokens. Use 'max_completion_tokens'.")
    assert texts(engine) == [ANSWER]
    assert texts(engine) == [ANSWER]
    limits = [{name for name in request if "max" in name} for _, request in server.requests]
    assert limits == [{"max_tokens"}, {"max_completion_tokens"}, {"max_completion_tokens"}]


def test_a_judge_sends_the_variables_and_keys_of_its_alias(start: Start) -> None:
    server, engine = start()
    alias = SamplingSettings(chat_template_kwargs={"enable_thinking": False}, extra_body={"reasoning_effort": "low"})
    judge = AliasEngine(engine, alias)
    run(judge.choose(QUESTION, ["yes", "no"]))
    run(judge.score(QUESTION, "4"))
    run(judge.generate(QUESTION, 1, Sampling(chat_template_kwargs={"effort": 1})))
    for _, request in server.requests:
        assert request["chat_template_kwargs"]["enable_thinking"] is False
        assert request["reasoning_effort"] == "low"
    assert server.requests[-1][1]["chat_template_kwargs"] == {"enable_thinking": False, "effort": 1}


def test_without_a_key_no_authorization_is_sent(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEACHER_KEY")
    server, engine = start()
    texts(engine)
    assert "Authorization" not in server.requests[0][0]


def test_different_samples_come_back_in_order(start: Start) -> None:
    _, engine = start(lambda _: ["one", "two", "three"])
    assert texts(engine, 3) == ["one", "two", "three"]


def test_requests_of_many_tasks_are_in_flight_together(start: Start) -> None:
    async def together(engine: OpenaiEngine) -> None:
        await asyncio.gather(*(engine.generate(QUESTION, 4, SAMPLING) for _ in range(200)))

    _, engine = start(latency=0.5)
    started = time.monotonic()
    run(together(engine))
    assert time.monotonic() - started < 5  # one after another they would take 100 s


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.MALFORMED, Fault.CUT_OFF, Fault.RESET, Fault.NO_CHOICES])
def test_a_temporary_fault_is_hidden_from_the_caller(start: Start, fault: Fault) -> None:
    server, engine = start(faults=[fault] * 3)
    assert texts(engine) == [ANSWER]
    assert len(server.requests) == 4


def test_the_engine_waits_for_the_retry_after_of_a_busy_server(start: Start) -> None:
    _, engine = start(faults=[Fault.BUSY])
    started = time.monotonic()
    assert texts(engine) == [ANSWER]
    assert 1 <= time.monotonic() - started < 3


@pytest.mark.parametrize("fault", [Fault.BROKEN, Fault.MALFORMED, Fault.CUT_OFF, Fault.RESET, Fault.NO_CHOICES])
def test_a_permanent_fault_is_one_error_that_names_the_server(start: Start, fault: Fault) -> None:
    server, engine = start(faults=[fault] * 100)
    with pytest.raises(EngineError, match=r"\(5 attempts\)$") as caught:
        texts(engine)
    assert server.base_url in str(caught.value)
    assert not isinstance(caught.value, RequestRefused)
    assert len(server.requests) == 5


def test_an_unreachable_server_is_one_error_that_names_it(start: Start) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{reserved.getsockname()[1]}/v1"
        engine = OpenaiEngine(settings(base_url=address))
        reason = f"^no answer from base_url {address}: ClientConnectorError: Cannot connect"
        with pytest.raises(EngineError, match=reason):
            texts(engine)
    run(engine.close())


def test_a_refused_request_is_not_repeated_and_quotes_the_server(start: Start) -> None:
    server, engine = start(faults=[Fault.REFUSED])
    with pytest.raises(RequestRefused, match=r"answered 400 Bad Request: .*maximum context length") as caught:
        texts(engine)
    assert len(server.requests) == 1
    assert len(str(caught.value)) < 300


def test_no_error_shows_the_key_even_if_the_server_repeats_it(start: Start) -> None:
    _, engine = start(faults=[Fault.UNAUTHORIZED])
    with pytest.raises(EngineDead, match=r"401 Unauthorized: .*wrong key: Bearer \*\*\*") as caught:
        texts(engine)
    assert KEY not in str(caught.value)


def test_a_request_ends_at_its_timeout(start: Start) -> None:
    _, engine = start(faults=[Fault.HANGS], timeout_seconds=0.2)
    with pytest.raises(EngineError, match=r"no answer after 0\.2 s \(timeout_seconds\)"):
        texts(engine)


def test_fewer_choices_than_requested_are_kept(start: Start) -> None:
    _, engine = start(faults=[Fault.FEWER])
    assert len(texts(engine, 4)) == 3


def test_choices_beyond_the_requested_number_are_dropped(start: Start) -> None:
    _, engine = start(faults=[body(choice_of(content="a"), choice_of(content="b"), choice_of(content="c"))])
    assert texts(engine, 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({}, ""),
        ({"content": "4", "reasoning_content": "2 + 2 = 4"}, "<think>2 + 2 = 4</think>\n4"),
        ({"content": "4", "reasoning": "2 + 2 = 4"}, "<think>2 + 2 = 4</think>\n4"),
        ({"content": None, "reasoning_content": "cut"}, "<think>cut</think>\n"),
        ({"content": "4", "reasoning_content": None, "tool_calls": []}, "4"),
    ],
)
def test_thoughts_precede_the_answer_and_missing_content_is_empty(
    start: Start, message: dict[str, Any], text: str
) -> None:
    _, engine = start(faults=[body(choice_of(**message))])
    assert texts(engine) == [text]


def test_without_a_servers_token_counts_the_counts_are_0(start: Start) -> None:
    _, engine = start(faults=[body(choice_of(content="a"))])
    generation = run(engine.generate(QUESTION, 1, SAMPLING))
    assert (generation.tokens_in, generation.completions[0].tokens) == (0, 0)


HOSTILE: dict[str, str | bytes] = {
    "a list": "[]",
    "null": "null",
    "a number": "1" * 100_000,
    "nothing": b"",
    "not text": b"\xff\xfe\x00",
    "deep": "[" * 100_000,
    "choices is a text": '{"choices": "many"}',
    "choice is null": '{"choices": [null]}',
    "no message": '{"choices": [{}]}',
    "content is a number": body(choice_of(content=4)),
    "lone surrogate": b'{"choices": [{"message": {"content": "\\ud800"}}]}',
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_an_answer_of_the_wrong_shape_is_an_engine_error(start: Start, answer: str | bytes) -> None:
    _, engine = start(faults=[answer] * 5)
    with pytest.raises(EngineError, match="the answer is not a chat completion") as caught:
        texts(engine)
    assert len(str(caught.value)) < 500


LOGPROBS: dict[str, Any] = {
    "absent": {},
    "null": {"logprobs": None},
    "no positions": {"logprobs": {"content": []}},
}


@pytest.mark.parametrize("choice", LOGPROBS.values(), ids=LOGPROBS)
def test_without_logprobs_a_choice_is_made_from_written_answers(start: Start, choice: dict[str, Any]) -> None:
    written = ["Yes.", " **No**, it is", "yes", "no", "Yes", "perhaps", "", "<think>no</think>Yes!"]
    server, engine = start(lambda _: written, faults=[body(choice_of(content="Yes") | choice)])
    assert run(engine.choose(QUESTION, ["Yes", "No"])) == {"Yes": pytest.approx(4 / 6), "No": pytest.approx(2 / 6)}
    run(engine.choose(QUESTION, ["Yes", "No"]))
    assert ["logprobs" in request for _, request in server.requests] == [True, False, False]


def test_with_refused_logprobs_a_choice_is_made_from_written_answers(start: Start) -> None:
    server, engine = start(lambda _: ["No", "No", "No", "Yes"], refuses={"logprobs"})
    for _ in range(2):
        assert run(engine.choose(QUESTION, ["Yes", "No"])) == {"Yes": pytest.approx(0.25), "No": pytest.approx(0.75)}
    assert ["logprobs" in request for _, request in server.requests] == [True, False, False]


def test_a_refused_choice_does_not_end_the_use_of_logprobs(start: Start) -> None:
    server, engine = start(faults=[Fault.REFUSED] * 2)
    with pytest.raises(RequestRefused, match="maximum context length"):
        run(engine.choose(QUESTION, ["Yes", "No"]))
    assert run(engine.choose(QUESTION, ["Yes", "No"])) is not None
    server.faults = iter([Fault.REFUSED])
    with pytest.raises(RequestRefused, match="maximum context length"):
        run(engine.choose(QUESTION, ["Yes", "No"]))
    assert ["logprobs" in request for _, request in server.requests] == [True, False, True, True]


def test_a_text_is_scored_as_the_unfinished_end_of_the_conversation(start: Start) -> None:
    server, engine = start(
        score=lambda question, text: -2.5 if (question, text) == (USER_TEXT, "the sum is 4") else -99
    )
    assert run(engine.score(QUESTION, "the sum is 4")) == Score(pytest.approx(-2.5), 4)
    assert server.requests[-1][1] == {
        "model": "scripted",
        "messages": [*QUESTION, {"role": "assistant", "content": "the sum is 4"}],
        "max_tokens": 1,
        "prompt_logprobs": 0,
        "continue_final_message": True,
        "add_generation_prompt": False,
    }


@pytest.mark.parametrize("script", [{"ignores": {"prompt_logprobs"}}, {"refuses": {"prompt_logprobs"}}], ids=str)
def test_a_server_that_does_not_score_is_tested_once(start: Start, script: dict[str, Any]) -> None:
    async def three(engine: OpenaiEngine) -> list[Score | None]:
        return await asyncio.gather(*(engine.score(QUESTION, "4") for _ in range(3)))

    server, engine = start(**script)
    assert run(three(engine)) == [None] * 3
    assert len(server.requests) == 1


def test_a_text_that_cannot_be_scored_does_not_end_scoring(start: Start) -> None:
    server, engine = start()
    assert run(engine.score(QUESTION, "4")) is not None
    server.faults = iter([Fault.REFUSED])
    with pytest.raises(RequestRefused, match="maximum context length"):
        run(engine.score(QUESTION, "4"))
    assert run(engine.score(QUESTION, "4")) is not None


def test_a_server_that_is_busy_at_first_may_still_score(start: Start) -> None:
    server, engine = start(faults=[Fault.BROKEN] * 5)
    with pytest.raises(EngineError, match="500"):
        run(engine.score(QUESTION, "4"))
    assert run(engine.score(QUESTION, "4")) is not None
    assert len(server.requests) == 5 + 2


PROMPT_LOGPROBS: dict[str, str] = {
    "no probability": '[null, {"7": {"logprob": null}}]',
    "not a number": '[null, {"7": {"logprob": NaN}}]',
    "no tokens": '[null, {"7": []}]',
    "a text": '"many"',
}


@pytest.mark.parametrize("scores", PROMPT_LOGPROBS.values(), ids=PROMPT_LOGPROBS)
def test_scores_of_the_wrong_shape_are_an_engine_error(start: Start, scores: str) -> None:
    answer = body(choice_of(content="a"))[:-1] + f', "prompt_logprobs": {scores}}}'
    _, engine = start(faults=[answer] * 5)
    with pytest.raises(EngineError, match="not a chat completion"):
        run(engine.score(QUESTION, "4"))


def test_scores_above_0_become_0(start: Start) -> None:
    _, engine = start(score=lambda *_: 9999)
    assert run(engine.score(QUESTION, "4")) == Score(0, 1)


def test_impossible_probabilities_do_not_break_the_choice(start: Start) -> None:
    likely = [{"token": "Yes", "logprob": 9999}, {"token": "No", "logprob": -9999.0}]
    choice = choice_of(content="Yes") | {"logprobs": {"content": [{"top_logprobs": likely}]}}
    _, engine = start(faults=[body(choice)])
    assert run(engine.choose(QUESTION, ["Yes", "No"])) == {"Yes": 1, "No": 0}


def test_a_probability_that_is_not_a_number_is_ignored(start: Start) -> None:
    likely = [{"token": "Yes", "logprob": float("nan")}, {"token": "No", "logprob": -1}]
    choice = choice_of(content="Yes") | {"logprobs": {"content": [{"top_logprobs": likely}]}}
    _, engine = start(faults=[body(choice)])
    assert run(engine.choose(QUESTION, ["Yes", "No"])) == {"Yes": 0, "No": 1}


def test_choices_are_read_from_the_likeliest_first_words(start: Start) -> None:
    _, engine = start(first_words={"Yes": -0.5, " no": -1.5, "Maybe": -3.0})
    shares = run(engine.choose(QUESTION, ["Yes", "No"]))
    assert shares is not None
    assert shares["Yes"] == pytest.approx(1 / (1 + math.exp(-1)))


def test_an_adapter_is_refused_with_advice(start: Start) -> None:
    _, engine = start()
    with pytest.raises(RequestRefused, match="serves an adapter under its own model name"):
        run(engine.generate(QUESTION, 1, SAMPLING, Path("adapter")))
    with pytest.raises(RequestRefused, match="serves an adapter under its own model name"):
        run(engine.score(QUESTION, "4", Path("adapter")))


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        (None, r"no base_url. Add the server's address"),
        ("localhost:8000/v1", "must look like"),
        ("ftp://localhost/v1", "must look like"),
        ("http://", "must look like|not an address"),
        ("http://[::1/v1", "not an address"),
        ("https://me:secret-word@host/v1", "must hold no user, password or query"),
        ("https://secret-word@host/v1", "must hold no user, password or query"),
        ("https://host/v1?key=secret-word", "must hold no user, password or query"),
    ],
)
def test_an_unusable_address_is_an_error_at_the_start(base_url: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        OpenaiEngine(settings(base_url=base_url))
    assert "secret-word" not in str(caught.value)


def test_a_key_with_a_line_break_inside_is_refused_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEACHER_KEY", f"{KEY}\r\nX-Evil: 1")
    with pytest.raises(UsageError, match="variable TEACHER_KEY holds characters") as caught:
        OpenaiEngine(settings(base_url="http://localhost/v1"))
    assert KEY not in str(caught.value)


def test_pauses_grow_and_are_random() -> None:
    def pauses(attempt: int) -> list[float]:
        return [pause(attempt) for _ in range(500)]

    assert max(pauses(1)) <= 0.5
    assert max(pauses(1)) * 2 < max(pauses(4)) <= 0.5 * 8
    assert 19 < max(pauses(60)) <= 20
    assert min(pauses(4)) < 0.5 < max(pauses(4))


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    assert retry_after("7") == 7
    assert retry_after(formatdate(time.time() + 30, usegmt=True)) == pytest.approx(30, abs=2)
    assert [retry_after(header) for header in ("", "-5", "soon", "nan", "inf", "9" * 5000)] == [0] * 6
    assert retry_after("Mon, 01 Jan 0001 00:00:00 GMT") == 0
