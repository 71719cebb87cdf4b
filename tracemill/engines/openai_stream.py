"""Streamed answers: server-sent events (WHATWG HTML, 9.2) joined to complete answers.

A stream is hostile input: events may have any form, samples any order, and the stream may end at any position.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field

from tracemill.engines.openai_protocol import Answer, Choice, Logprobs, ModelMessage, Position, Usage

DONE = b"[DONE]"


class Piece(BaseModel):
    """The next piece of one sample."""

    index: int = Field(0, ge=0)
    delta: ModelMessage | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Chunk(BaseModel):
    """One event: pieces of samples; the last event also holds the token counts."""

    choices: list[Piece] = []
    usage: Usage | None = None
    #: Present instead of pieces if the request failed.
    error: Any = None

    @property
    def status(self) -> int | None:
        """The error's HTTP status; None if the error has none."""
        code = self.error.get("code") if isinstance(self.error, dict) else None
        return code if isinstance(code, int) and 400 <= code < 600 else None

    @property
    def error_text(self) -> str:
        """The error as JSON text."""
        return json.dumps(self.error, ensure_ascii=False)


class Events:
    """Splits the received bytes into the data of events; ignores comments and other fields."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The data of each complete event."""
        self._rest += received
        if b"\n" not in received:
            return
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(bytes(line[5:]).removeprefix(b" "))
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data = []


@dataclass
class Sample:
    """The received part of one sample."""

    content: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    finish_reason: str | None = None

    def take(self, piece: Piece) -> None:
        """Add a piece at the end."""
        if piece.delta:
            self.content.append(piece.delta.content or "")
            self.thoughts.append(piece.delta.thoughts)
            self.refusal.append(piece.delta.refusal or "")
        if piece.logprobs:
            self.positions.extend(piece.logprobs.content or [])
        self.finish_reason = piece.finish_reason or self.finish_reason

    def choice(self) -> Choice:
        """The sample as a `Choice` of an answer without streaming."""
        message = ModelMessage(
            content="".join(self.content), reasoning_content="".join(self.thoughts), refusal="".join(self.refusal)
        )
        return Choice(message=message, finish_reason=self.finish_reason, logprobs=Logprobs(content=self.positions))


class Assembly:
    """At most `n` samples, joined from the chunks of a stream."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._samples: dict[int, Sample] = {}
        self._usage: Usage | None = None

    def take(self, chunk: Chunk) -> None:
        """Add the pieces of a chunk to their samples; ignores pieces of samples beyond `n`."""
        for piece in chunk.choices:
            if piece.index < self._n:
                self._samples.setdefault(piece.index, Sample()).take(piece)
        self._usage = chunk.usage or self._usage

    @property
    def complete(self) -> bool:
        """Whether each sample has a finish reason. A stream may end without its end mark."""
        return bool(self._samples) and all(sample.finish_reason for sample in self._samples.values())

    def answer(self) -> Answer:
        """The complete answer. Raises pydantic's ValidationError if it has no sample."""
        choices = [sample.choice() for _, sample in sorted(self._samples.items())]
        return Answer(choices=choices, usage=self._usage)
