"""Streamed answers of a scripted server (no model): complete, cut off and damaged ones."""

import gzip
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scripted_server import ANSWER, Fault
from tests.unit.tracemill.engines.conftest import SAMPLING, Start, texts
from tests.unit.tracemill.engines.engine_contract import QUESTION, EngineContract
from tracemill.engines import Sampling
from tracemill.engines import openai_server as transport
from tracemill.engines.openai import OpenaiEngine
from tracemill.engines.openai_server import longest_answer
from tracemill.engines.openai_stream import Assembly, Chunk, Event, Events
from tracemill.errors import EngineAway, EngineError, RequestRefused
from tracemill.event_loop import run


class TestContract(EngineContract):
    @pytest.fixture
    def engine(self, start: Start) -> OpenaiEngine:
        return start(stream=True)[1]


@pytest.fixture
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "ATTEMPTS", 1)


def stream(*chunks: Any, end: str = "data: [DONE]\n\n") -> str:
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end


def piece(index: int = 0, **rest: Any) -> dict[str, Any]:
    delta = {name: rest.pop(name) for name in ("content", "reasoning", "refusal") if name in rest}
    return {"choices": [{"index": index, "delta": delta, **rest}]}


def test_a_streamed_answer_equals_the_answer_without_streaming(start: Start) -> None:
    answers = ["First  1 + 1 = 2.\nThen\n\n4.", " spaces around ", "one", ""]
    sampling = Sampling(max_tokens=5, logprobs=3)
    generations = []
    for streamed in (False, True):
        server, engine = start(lambda _: answers, stream=streamed)
        generations.append(run(engine.generate(QUESTION, 4, sampling)))
        assert ("stream" in server.requests[0][1]) == streamed
    at_once, in_pieces = generations
    assert in_pieces.completions == at_once.completions
    assert in_pieces.tokens_in == at_once.tokens_in > 0


def test_a_streamed_answer_may_exceed_the_timeout_while_parts_arrive(start: Start) -> None:
    _, engine = start(lambda _: "word " * 20, stream=True, word_seconds=0.04, timeout_seconds=0.5)
    started = time.monotonic()
    assert texts(engine) == ["word " * 20]
    assert time.monotonic() - started > 0.6


def test_keepalive_messages_do_not_extend_the_timeout(start: Start) -> None:
    _, engine = start(faults=[Fault.FALLS_SILENT], stream=True, timeout_seconds=0.3)
    with pytest.raises(EngineError, match=r"nothing more after 0\.3 s \(timeout_seconds\)"):
        texts(engine)


@pytest.mark.parametrize("fault", [Fault.CUT_OFF, Fault.ENDS_EARLY, Fault.RESET, Fault.BROKEN, Fault.BUSY])
def test_a_cut_off_stream_is_requested_again(start: Start, fault: Fault) -> None:
    server, engine = start(faults=[fault], stream=True)
    assert texts(engine, 2) == [ANSWER, ANSWER]
    assert len(server.requests) == 2


@pytest.mark.usefixtures("few_attempts")
def test_a_stream_that_is_always_cut_off_is_an_error_that_says_so(start: Start) -> None:
    _, engine = start(faults=[Fault.ENDS_EARLY], stream=True)
    with pytest.raises(EngineError, match="the stream ended before the answer"):
        texts(engine)


GARBAGE: dict[str, str | bytes] = {
    "not JSON": 'data: {"choices": [{"ind\n\n',
    "a list": "data: []\n\n",
    "null": "data: null\n\n",
    "not text": b"data: \xff\xfe\n\n",
    "deep": "data: " + "[" * 100_000 + "\n\n",
    "a negative sample": stream(piece(-1, content="a")),
    "a delta that is a list": stream({"choices": [{"delta": []}]}),
    "a content that is a number": stream(piece(content=4)),
    "a lone surrogate": 'data: {"choices": [{"delta": {"content": "\\ud800"}}]}\n\n',
    "endless tokens": stream({"choices": [], "usage": {"completion_tokens": 10**30}}),
    "nothing": "",
    "its end only": "data: [DONE]\n\n",
    "comments": ": one\n\n: two\n\n",
    "other fields": "event: error\nid: 7\nretry: 100\n\n",
    "no end of the event": 'data: {"choices": []}',
    "a plain page": "<html>\n\n</html>\n\n",
}


@pytest.mark.usefixtures("few_attempts")
@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_a_stream_of_the_wrong_shape_is_an_engine_error(start: Start, answer: str | bytes) -> None:
    _, engine = start(faults=[answer], stream=True)
    with pytest.raises(EngineError, match=r"the stream ended before the answer|not a chat completion") as caught:
        texts(engine)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("answer", GARBAGE.values(), ids=GARBAGE)
def test_garbage_inside_a_stream_leads_to_a_new_request(start: Start, answer: str | bytes) -> None:
    half = stream(piece(content="half an"), end="").encode()
    _, engine = start(faults=[half + (answer if isinstance(answer, bytes) else answer.encode())], stream=True)
    assert texts(engine) in ([ANSWER], ["half an"])  # "its end only" is an end


@pytest.mark.usefixtures("few_attempts")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "too long", "code": 400}, RequestRefused),
        ({"message": "slow down", "code": 429}, EngineAway),
        ({"message": "no code"}, EngineError),
        ({"code": "context_length_exceeded"}, EngineError),
        ("a text", EngineError),
        ([], EngineError),
    ],
)
def test_an_error_in_a_stream_has_the_kind_of_its_status(start: Start, error: Any, kind: type[EngineError]) -> None:
    _, engine = start(faults=[stream(piece(content="half"), {"error": error})], stream=True)
    with pytest.raises(EngineError, match=r"answered in its stream: ") as caught:
        texts(engine)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("chunks", "n", "texts_", "reasons"),
    [
        ([piece(1, content="b"), piece(0, content="a")], 2, ["a", "b"], [None, None]),
        ([piece(2, content="c", finish_reason="stop")], 3, ["c"], ["stop"]),
        ([piece(0, content="a"), piece(10**9, content="x"), piece(1, content="b")], 1, ["a"], [None]),
        ([piece(content="a"), {"choices": [{"delta": None}]}, {"choices": [{}]}], 1, ["a"], [None]),
        ([piece(reasoning="2 + "), piece(reasoning="2"), piece(content="4")], 1, ["<think>2 + 2</think>\n4"], [None]),
        ([piece(refusal="I "), piece(refusal="won't", finish_reason="stop")], 1, ["I won't"], ["refusal"]),
        ([piece(content="I"), piece(finish_reason="content_filter")], 1, ["I"], ["content_filter"]),
        ([piece(content="", finish_reason="stop")], 1, [""], ["stop"]),
    ],
)
def test_pieces_are_joined_by_sample(
    start: Start, chunks: list[Any], n: int, texts_: list[str], reasons: list[str | None]
) -> None:
    _, engine = start(faults=[stream(*chunks)], stream=True)
    completions = run(engine.generate(QUESTION, n, SAMPLING)).completions
    assert [completion.text for completion in completions] == texts_
    assert [completion.finish_reason for completion in completions] == reasons


def test_a_stream_without_an_end_mark_is_complete_with_all_finish_reasons(start: Start) -> None:
    chunks = [piece(0, content="a", finish_reason="stop"), piece(1, content="b", finish_reason="length")]
    server, engine = start(faults=[stream(*chunks, end="")], stream=True)
    assert texts(engine, 2) == ["a", "b"]
    assert len(server.requests) == 1


def test_a_server_that_does_not_stream_answers_at_once(start: Start) -> None:
    _, engine = start(ignores={"stream"}, stream=True)
    assert texts(engine) == [ANSWER]


def test_an_endless_answer_is_cut_at_the_size_limit(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_BYTES", 1000)
    for streamed in (False, True):
        _, engine = start(lambda _: "word " * 1000, stream=streamed)
        with pytest.raises(EngineError, match="has more than 1000 bytes"):
            run(engine.generate(QUESTION, 1, Sampling(max_tokens=2000)))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_small_answer_that_unpacks_to_a_huge_one_is_refused(start: Start, streamed: bool) -> None:
    packed = gzip.compress(b"data: " * streamed + b'{"choices": [{"message": {"content": "' + b"A" * 2**26, 1)
    _, engine = start(faults=[packed], stream=streamed)
    with pytest.raises(EngineError, match="bytes, too many for the request"):
        run(engine.generate(QUESTION, 1, Sampling(max_tokens=64)))


def test_the_limit_of_an_answer_follows_its_request() -> None:
    messages = [{"role": "user", "content": "x" * 1000}]
    short, long = ({"messages": messages, "max_tokens": tokens} for tokens in (64, 16_000))
    assert longest_answer(short) < 2**21 < 2**24 < longest_answer(long)
    assert longest_answer(long | {"n": 8, "top_logprobs": 20}) == transport.MAX_BYTES
    assert longest_answer({"messages": messages, "max_tokens": 1, "prompt_logprobs": 0}) > longest_answer(short)


def test_an_empty_message_adds_nothing_to_a_sample() -> None:
    assembly = Assembly(2)
    assert not assembly.take(Chunk.model_validate(piece(content="")))
    assert assembly.take(Chunk.model_validate(piece(content="a")))
    assert assembly.take(Chunk.model_validate(piece(finish_reason="stop")))
    for empty in (piece(finish_reason="stop"), piece(3, content=""), {"choices": []}, {"usage": {}}):
        assert not assembly.take(Chunk.model_validate(empty))


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"], ids=repr)
@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n")), max_size=5), data=st.data())
def test_events_do_not_depend_on_the_borders_of_received_bytes(end: str, texts: list[str], data: st.DataObject) -> None:
    whole = ("\ufeff" + "".join(f": c{end}data: {text}{end}{end}" for text in texts)).encode()
    events, received = Events(), list[Event]()
    while whole:
        size = data.draw(st.integers(1, len(whole)))
        received += events.feed(whole[:size])
        whole = whole[size:]
    received += events.end()
    assert [event.data.decode() for event in received] == [text for text in texts if text.encode().strip()]


def test_an_event_of_several_lines_is_one() -> None:
    assert list(Events().feed(b"data: one\ndata:two\n\n")) == [Event(b"one\ntwo")]
