"""An answer that comes piece by piece: server-sent events (WHATWG HTML, 9.2) put together to the whole.

Like all that a server sends it is hostile input: events of any shape, samples in any order, an end at any place.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field

from tracemill.engines.openai_protocol import Answer, Choice, Logprobs, Place, Said, Usage

DONE = b"[DONE]"


class Piece(BaseModel):
    """The next piece of one sample."""

    index: int = Field(0, ge=0)
    delta: Said | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class Chunk(BaseModel):
    """One event: pieces of samples, and with the last one the count of tokens."""

    choices: list[Piece] = []
    usage: Usage | None = None
    #: Instead of pieces: the request failed after all.
    error: Any = None

    @property
    def status(self) -> int:
        """The HTTP status that the error would have had; 500 if it does not say."""
        code = self.error.get("code") if isinstance(self.error, dict) else None
        return code if isinstance(code, int) and 400 <= code < 600 else 500

    @property
    def said(self) -> str:
        """The error in the server's words."""
        return json.dumps(self.error, ensure_ascii=False)


class Events:
    """Cuts what arrives into the data of events; comments and all other fields are left out."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._data: list[bytes] = []

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The data of each event that is complete."""
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
    """One sample as far as it has come."""

    said: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    finish_reason: str | None = None

    def take(self, piece: Piece) -> None:
        """Put a piece at its end."""
        if piece.delta:
            self.said.append(piece.delta.content or "")
            self.thoughts.append(piece.delta.thoughts)
            self.refusal.append(piece.delta.refusal or "")
        if piece.logprobs:
            self.places.extend(piece.logprobs.content or [])
        self.finish_reason = piece.finish_reason or self.finish_reason

    def choice(self) -> Choice:
        """The sample as it would have come in one piece."""
        said = Said(content="".join(self.said), reasoning_content="".join(self.thoughts), refusal="".join(self.refusal))
        return Choice(message=said, finish_reason=self.finish_reason, logprobs=Logprobs(content=self.places))


class Assembly:
    """At most `n` samples, put together from the chunks of a stream."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._samples: dict[int, Sample] = {}
        self._usage: Usage | None = None

    def take(self, chunk: Chunk) -> None:
        """Put the pieces of a chunk in their places; pieces of samples that were not asked for are left out."""
        for piece in chunk.choices:
            if piece.index < self._n:
                self._samples.setdefault(piece.index, Sample()).take(piece)
        self._usage = chunk.usage or self._usage

    @property
    def complete(self) -> bool:
        """Whether each sample that began has ended, as far as one can tell without the stream's own end mark."""
        return bool(self._samples) and all(sample.finish_reason for sample in self._samples.values())

    def answer(self) -> Answer:
        """The whole answer. Raises pydantic's ValidationError when no sample began."""
        choices = [sample.choice() for _, sample in sorted(self._samples.items())]
        return Answer(choices=choices, usage=self._usage)
