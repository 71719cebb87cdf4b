"""The protocol as servers really speak it, from a scripted server (no model): the answer, and the paid requests."""

import json
from typing import Any

import pytest

from tests.scripted_server import ANSWER
from tests.unit.tracemill.engines.conftest import SAMPLING, Start, body, choice_of, texts
from tests.unit.tracemill.engines.engine_contract import QUESTION
from tracemill.engines import Completion, Sampling
from tracemill.errors import EngineAway, EngineError, RequestRefused
from tracemill.event_loop import run

TEXT = "3 + 4 = 7. The answer is 7."
GOOD = choice_of(content=TEXT)
THOUGHT = f"<think>Add.</think>\n{TEXT}"
USAGE = {"prompt_tokens": 9, "completion_tokens": 12}


def with_logprobs(logprobs: Any) -> str:
    return body(GOOD | {"logprobs": logprobs}, usage=USAGE)


def parts(*content: Any) -> str:
    return body(choice_of(content=list(content)), usage=USAGE)


ANSWERS: dict[str, tuple[str, str]] = {
    "text parts": (parts({"type": "text", "text": TEXT[:9]}, {"type": "text", "text": TEXT[9:]}), TEXT),
    "a plain part": (parts(TEXT), TEXT),
    "one part": (body(choice_of(content={"type": "text", "text": TEXT}), usage=USAGE), TEXT),
    "thinking parts": (
        parts(
            {"type": "thinking", "thinking": [{"type": "text", "text": "Add."}]},
            {"type": "text", "text": TEXT},
        ),
        THOUGHT,
    ),
    "reasoning as an object": (body(choice_of(content=TEXT, reasoning={"steps": []}), usage=USAGE), TEXT),
    "text without a message": (body({"text": TEXT, "finish_reason": "stop"}, usage=USAGE), TEXT),
    "index null": (body(GOOD | {"index": None}, usage=USAGE), TEXT),
    "index from 1": (body(GOOD | {"index": 1}, usage=USAGE), TEXT),
    "null logprob": (with_logprobs({"content": [{"token": "3", "logprob": None, "top_logprobs": []}]}), TEXT),
    "null top_logprobs": (with_logprobs({"content": [{"token": "3", "logprob": -1, "top_logprobs": None}]}), TEXT),
    "logprobs of completions": (with_logprobs({"tokens": ["3"], "token_logprobs": [None], "content": 5}), TEXT),
    "finish reason of another type": (body(GOOD | {"finish_reason": {"type": "eos"}}, usage=USAGE), TEXT),
    "error null": (body(GOOD | {"error": None}, usage=USAGE, error=None), TEXT),
    "details null": (body(GOOD, usage=USAGE | {"completion_tokens_details": [None]}), TEXT),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_is_paid_for_once_and_kept(start: Start, name: str) -> None:
    answer, text = ANSWERS[name]
    server, engine = start(faults=[answer])
    generation = run(engine.generate(QUESTION, 1, SAMPLING))
    assert [completion.text for completion in generation.completions] == [text]
    assert (generation.tokens_in, generation.completions[0].tokens) == (9, 12)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "usage",
    [
        None,
        [],
        "many",
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": -1, "completion_tokens": 10**30},
        {"prompt_tokens": "?", "completion_tokens_details": {"reasoning_tokens": "?"}},
    ],
    ids=str,
)
@pytest.mark.parametrize("streamed", [False, True])
def test_an_odd_usage_counts_as_0(start: Start, usage: Any, streamed: bool) -> None:
    whole = body(GOOD, usage=usage)
    events = stream(piece(content=TEXT, finish_reason="stop"), {"choices": [], "usage": usage})
    server, engine = start(faults=[events if streamed else whole], stream=streamed)
    assert run(engine.generate(QUESTION, 1, SAMPLING)).completions == (Completion(TEXT, 0, "stop"),)
    assert len(server.requests) == 1


def piece(index: int | None = 0, **rest: Any) -> dict[str, Any]:
    delta = {name: rest.pop(name) for name in ("content", "reasoning") if name in rest}
    return {"choices": [{"index": index, "delta": delta, **rest}]}


def stream(*chunks: Any, end: str = "\n", last: str = "data: [DONE]\n\n") -> str:
    return "".join(f"data: {json.dumps(chunk)}{end}{end}" for chunk in chunks) + last


HALVES = (piece(content=TEXT[:9]), piece(content=TEXT[9:], finish_reason="stop"))
STREAMS: dict[str, str] = {
    "CR": stream(*HALVES, end="\r", last="data: [DONE]\r\r"),
    "CR and LF": stream(*HALVES, end="\r\n"),
    "byte order mark": "\ufeff" + stream(*HALVES),
    "empty data": "data:\n\ndata: \n\n" + stream(*HALVES),
    "no space": stream(*HALVES).replace("data: ", "data:"),
    "no blank line at the end": stream(*HALVES, last="").rstrip("\n"),
    "no line end after the end mark": stream(*HALVES, last="data: [DONE]"),
    "index from 1": stream(piece(1, content=TEXT, finish_reason="stop")),
    "index null": stream(piece(None, content=TEXT, finish_reason="stop")),
    "choices null": stream({"choices": None}, *HALVES, {"choices": None, "usage": USAGE}),
    "a message": stream({"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]}),
    "a message after its pieces": stream(*HALVES, {"choices": [{"message": {"content": TEXT}}]}),
    "parts": stream(piece(content=[{"type": "text", "text": TEXT}], finish_reason="stop")),
    "null content": stream(piece(content=None), *HALVES),
    "null logprobs": stream(piece(content=TEXT, finish_reason="stop", logprobs={"content": [{"logprob": None}]})),
    "named events": stream(*HALVES).replace("data: {", "event: message\ndata: {"),
    "a comment and an id": ": ping\nid: 1\n" + stream(*HALVES),
}


@pytest.mark.parametrize("name", STREAMS)
def test_an_odd_stream_is_paid_for_once_and_kept(start: Start, name: str) -> None:
    server, engine = start(faults=[STREAMS[name]], stream=True)
    assert texts(engine) == [TEXT]
    assert len(server.requests) == 1


def test_two_samples_of_a_stream_may_be_counted_from_1(start: Start) -> None:
    chunks = [piece(1, content="a"), piece(2, content="b"), piece(3, content="c")]
    _, engine = start(faults=[stream(*chunks)], stream=True)
    assert texts(engine, 2) == ["a", "b"]


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("eos", "stop"),
        ("FINISH_REASON_STOP", "stop"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("model_context_window_exceeded", "length"),
        ("context-length-exceeded", "length"),
        ("SAFETY", "content_filter"),
        ("a new word", "a_new_word"),
        ("a\x00b", "ab"),
        ("x" * 1000, "x" * 64),
        ("", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_the_finish_reasons_of_vendors_have_one_name(
    start: Start, word: str | None, reason: str | None, streamed: bool
) -> None:
    answer = stream(piece(content=TEXT, finish_reason=word)) if streamed else body(GOOD | {"finish_reason": word})
    _, engine = start(faults=[answer], stream=streamed)
    [completion] = run(engine.generate(QUESTION, 1, SAMPLING)).completions
    assert (completion.text, completion.finish_reason) == (TEXT, reason)


@pytest.mark.parametrize("word", ["error", "abort", "network_error", "insufficient_system_resource", "cancelled"])
@pytest.mark.parametrize("streamed", [False, True])
def test_a_broken_off_sample_is_no_answer(start: Start, word: str, streamed: bool) -> None:
    half = stream(piece(content="3 + 4"), piece(finish_reason=word))
    answer = half if streamed else body(choice_of(content="3 + 4") | {"finish_reason": word})
    server, engine = start(faults=[answer], stream=streamed)
    assert texts(engine) == [ANSWER]
    assert len(server.requests) == 2


def test_good_samples_beside_a_broken_off_one_are_kept(start: Start) -> None:
    broken = choice_of(content="3 +") | {"finish_reason": "abort"}
    server, engine = start(faults=[body(GOOD, broken, GOOD)])
    assert texts(engine, 3) == [TEXT, TEXT]
    assert len(server.requests) == 1


ERRORS: dict[str, str] = {
    "of the request": body(error={"message": "no credit", "code": 402}),
    "of a sample": body(choice_of(content="") | {"error": {"message": "no credit", "code": 402}}),
    "by its name": body(error={"message": "no credit", "type": "insufficient_quota"}),
}
EVENTS: dict[str, str] = {
    "in a chunk": stream(piece(content="3"), {"error": {"message": "no credit", "code": "402"}}),
    "in an event": stream(piece(content="3"), last='event: error\ndata: {"message": "no credit", "code": 402}\n\n'),
    "around an error": stream(last='event: error\ndata: {"error": {"message": "no credit", "code": 402}}\n\n'),
    "of a streamed sample": stream(piece(content="3", error={"message": "no credit", "code": 402}), piece()),
}


@pytest.mark.parametrize("answer", [*ERRORS.values(), *EVENTS.values()], ids=[*ERRORS, *EVENTS])
def test_an_error_with_status_200_has_the_kind_of_its_own_status(start: Start, answer: str) -> None:
    server, engine = start(faults=[answer], stream=answer in EVENTS.values())
    with pytest.raises(EngineAway, match="no credit"):
        texts(engine)
    assert len(server.requests) == 1


def test_an_error_event_that_is_plain_text_is_asked_again(start: Start) -> None:
    server, engine = start(faults=[stream(piece(content="3"), last="event: error\ndata: broken\n\n")], stream=True)
    assert texts(engine) == [ANSWER]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("temperature", "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1)."),
        ("top_p", "`top_p` is not supported by this model"),
        ("min_p", "body.min_p: Extra inputs are not permitted"),
        ("stream_options", "Unrecognized request argument supplied: stream_options"),
    ],
)
def test_a_parameter_that_is_not_taken_is_left_out_from_then_on(start: Start, name: str, refusal: str) -> None:
    server, engine = start(refuses={name}, refusal=refusal, stream=name == "stream_options")
    sampling = Sampling(temperature=0.7, top_p=0.9, min_p=0.1, max_tokens=64)
    for _ in range(2):
        assert [completion.text for completion in run(engine.generate(QUESTION, 1, sampling)).completions] == [ANSWER]
    assert [name in request for _, request in server.requests] == [True, False, False]


@pytest.mark.parametrize(
    "refusal", ["'n' : number must be at most 1", "n > 1 is not supported", "Only n = 1 is allowed", "n must be 1"]
)
def test_a_server_of_one_sample_a_request_gets_several_requests(start: Start, refusal: str) -> None:
    server, engine = start(lambda _: ["a", "b", "c"], refuses={"n"}, refusal=refusal)
    for _ in range(2):
        generation = run(engine.generate(QUESTION, 3, SAMPLING))
        assert sorted(completion.text for completion in generation.completions) == ["a", "b", "c"]
    words = sum(len(message["content"].split()) for message in QUESTION)
    assert (generation.tokens_in, sum(completion.tokens for completion in generation.completions)) == (3 * words, 3)
    assert len(server.requests) == 1 + 3 + 3


def test_the_samples_of_single_requests_are_kept_if_another_one_fails(start: Start) -> None:
    server, engine = start(refuses={"n"}, refusal="n must be 1")
    texts(engine, 2)
    server.faults = iter([(400, {})])
    assert texts(engine, 3) == [ANSWER] * 2
    assert len(server.requests) == 1 + 2 + 3


@pytest.mark.parametrize(
    "refusal",
    ["temperature must be between 0 and 1", "the prompt is too long", "model 'n' is unknown", "max_tokens: 0"],
)
def test_a_refusal_of_a_value_is_not_adapted_to(start: Start, refusal: str) -> None:
    server, engine = start(refuses={"temperature"}, refusal=refusal)
    with pytest.raises(RequestRefused):
        run(engine.generate(QUESTION, 2, Sampling(temperature=3.0, max_tokens=64)))
    assert len(server.requests) == 1


@pytest.mark.parametrize("content", [[4], [{"type": "image_url"}], [None]], ids=str)
def test_a_content_without_text_is_no_answer(start: Start, content: Any) -> None:
    _, engine = start(faults=[body(choice_of(content=content))] * 5)
    with pytest.raises(EngineError, match="a part of the content has no text"):
        texts(engine)
