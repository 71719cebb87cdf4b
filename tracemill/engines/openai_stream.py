"""Streamed answers: server-sent events (WHATWG HTML, 9.2) joined to complete answers.

A stream is hostile input: events may have any form, samples any order, and the stream may end at any position.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field

from tracemill.engines.openai_protocol import (
    Answer,
    Choice,
    Logprobs,
    ModelMessage,
    OptionalText,
    OptionalUsage,
    Position,
    Usage,
    or_none,
)

DONE = b"[DONE]"
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Piece(BaseModel):
    """The next piece of one sample."""

    index: Annotated[int, Field(ge=0)] | None = None
    delta: ModelMessage | None = None
    #: Some servers send the whole message, or a piece of it, under this name.
    message: ModelMessage | None = None
    finish_reason: OptionalText = None
    logprobs: Annotated[Logprobs | None, or_none] = None
    error: Any = None


class Chunk(BaseModel):
    """One event: pieces of samples; the last event also holds the token counts."""

    choices: list[Piece] | None = None
    usage: OptionalUsage = None
    #: Present instead of pieces if the request failed.
    error: Any = None


class Event(NamedTuple):
    """The data of one event, and its type."""

    data: bytes
    type: bytes = b""

    @property
    def is_error(self) -> bool:
        return self.type == b"error"


class Events:
    """Splits the received bytes into events; ignores comments, empty events and other fields.

    A line ends with CR, LF or both. The stream may begin with a byte order mark.
    """

    def __init__(self) -> None:
        self._rest = bytearray()
        self._is_first = True
        self._type = b""
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> Iterator[Event]:
        """The complete events."""
        self._rest += received
        if b"\n" not in received and b"\r" not in received:
            return
        # A CR at the end may be the first half of a line end.
        end = len(self._rest) - self._rest.endswith(b"\r")
        *lines, rest = _LINE_END.split(bytes(self._rest[:end]))
        self._rest = bytearray(rest) + self._rest[end:]
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[Event]:
        """The last event, if no blank line follows it."""
        rest, self._rest = bytes(self._rest), bytearray()
        for line in (*_LINE_END.split(rest), b""):
            yield from self._line(line)

    def _line(self, line: bytes) -> Iterator[Event]:
        if self._is_first:
            line, self._is_first = line.removeprefix(_BOM), False
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._type = value.strip()
        elif not line:
            data, type_ = b"\n".join(self._data), self._type
            self._data, self._type = [], b""
            if data.strip():
                yield Event(data, type_)


@dataclass
class Sample:
    """The received part of one sample."""

    content: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    finish_reason: str | None = None
    error: Any = None

    def take(self, piece: Piece) -> bool:
        """Add a piece at the end, and return whether it holds something new. A whole message repeats its pieces."""
        message = piece.delta or (None if any(self.content) else piece.message)
        has_grown = bool(message and (message.answer or message.thoughts)) or (
            piece.finish_reason is not None and self.finish_reason is None
        )
        if message:
            self.content.append(message.content or "")
            self.thoughts.append(message.thoughts)
            self.refusal.append(message.refusal or "")
        if piece.logprobs:
            self.positions.extend(piece.logprobs.content or [])
        self.finish_reason = piece.finish_reason or self.finish_reason
        self.error = piece.error or self.error
        return has_grown

    def choice(self) -> Choice:
        """The sample as a `Choice` of an answer without streaming."""
        message = ModelMessage(
            content="".join(self.content), reasoning_content="".join(self.thoughts), refusal="".join(self.refusal)
        )
        logprobs = Logprobs(content=self.positions)
        return Choice(message=message, finish_reason=self.finish_reason, logprobs=logprobs, error=self.error)


class Assembly:
    """At most `n` samples, joined from the chunks of a stream."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._samples: dict[int, Sample] = {}
        self._usage: Usage | None = None

    def take(self, chunk: Chunk) -> bool:
        """Add the pieces of a chunk to their samples, and return whether one has grown. Ignores samples beyond `n`.

        Some servers count samples from 1, or leave the number of a single one out.
        """
        has_grown = False
        for piece in chunk.choices or ():
            index = piece.index or 0
            if index in self._samples or len(self._samples) < self._n:
                has_grown |= self._samples.setdefault(index, Sample()).take(piece)
        self._usage = chunk.usage or self._usage
        return has_grown

    @property
    def complete(self) -> bool:
        """Whether each sample has a finish reason. A stream may end without its end mark."""
        return bool(self._samples) and all(sample.finish_reason for sample in self._samples.values())

    def answer(self) -> Answer:
        """The complete answer. Raises pydantic's ValidationError if it has no sample."""
        choices = [sample.choice() for _, sample in sorted(self._samples.items())]
        return Answer(choices=choices, usage=self._usage)
