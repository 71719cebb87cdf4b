"""What a model thought likely at each place of an answer, and how that is stored in few bytes.

An encoded `TopK` is one zlib stream of columns, because like stands beside like there: the rows' lengths, where the
chosen token stands in each row, the ids, the log-probabilities. Numbers of several bytes are written as one column a
byte, and every column is a Deflate block of its own, so each is coded by its own frequencies. Log-probabilities are
kept in steps of 1/128, as the distance to the one above in the row: small numbers.

Lost: at most 1/256 = 0.004 of a log-probability, 0.4 % of a probability, which is less than half precision loses below
-8 and less than a bfloat16 model is sure of; below -511.99 everything is -511.99. Token ids are exact.

Size, k = 8: 19.4 bytes a token, measured over 48 answers of SmolLM2-135M (6,681 tokens out of a vocabulary of 49,152,
at temperature 0.7): 12.3 for the ids, 6.5 for the log-probabilities, the rest for the shape. Half precision takes 25.
"""

import math
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

#: The name of this format, stored beside what is written in it.
ENCODING = "columns-128-1"
#: Steps a unit of log-probability, and the most steps from 0.
STEPS, MOST_STEPS = 128, 2**16 - 1
#: The longest row, the largest token id plus one, and the most bytes before compression: about 100,000 places of 20.
LONGEST_ROW, MOST_IDS, MOST_BYTES = 254, 2**24, 2**24

_HEAD = struct.Struct("<II")


@dataclass(frozen=True)
class TopK:
    """The likeliest tokens at each of T places of an answer.

    A row holds the k likeliest and the chosen one: k entries, or k + 1 when the chosen one is not among the likeliest.
    """

    #: Token id that was sampled at each place: T.
    chosen: tuple[int, ...]
    #: Token ids: T rows by falling log-probability.
    ids: tuple[tuple[int, ...], ...]
    #: Natural logarithms of their probabilities: T rows, as long as those of `ids`.
    logprobs: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, places: Iterable[tuple[int, Mapping[int, float]]]) -> "TopK":
        """Sort what is known of each place: the token chosen there, and log-probabilities by token id."""
        chosen, ids, logprobs = [], [], []
        for token, likely in places:
            row = sorted(likely.items(), key=lambda entry: -entry[1])
            chosen.append(token)
            ids.append(tuple(token for token, _ in row))
            logprobs.append(tuple(logprob for _, logprob in row))
        return cls(tuple(chosen), tuple(ids), tuple(logprobs))


def encode(top: TopK) -> bytes:
    """The compressed bytes. Raises ValueError for what the format cannot say: see the limits above, and unsorted rows.

    Values above 0 become 0.
    """
    if not len(top.chosen) == len(top.ids) == len(top.logprobs):
        raise ValueError("chosen, ids and logprobs must have as many places as each other")
    ranks, outside, gaps = bytearray(), [], array("H")
    for chosen, ids, logprobs in zip(top.chosen, top.ids, top.logprobs, strict=True):
        if len(ids) != len(logprobs) or len(ids) > LONGEST_ROW:
            raise ValueError(f"a row has {len(ids)} ids and {len(logprobs)} logprobs (at most {LONGEST_ROW})")
        gaps.extend(_gaps(logprobs))
        try:
            ranks.append(ids.index(chosen) + 1)
        except ValueError:
            ranks.append(0)
            outside.append(chosen)
    every = [token for row in top.ids for token in row] + outside
    if every and not 0 <= min(every) <= max(every) < MOST_IDS:
        raise ValueError(f"a token id is not between 0 and {MOST_IDS - 1}")
    columns = [
        _HEAD.pack(len(top.chosen), len(gaps)),
        bytes(map(len, top.ids)),
        bytes(ranks),
        *_planes(array("I", every))[:3],
        *_planes(gaps),
    ]
    if sum(map(len, columns)) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes of log-probabilities for one answer")
    stream = zlib.compressobj()
    blocks = [stream.compress(column) + stream.flush(zlib.Z_BLOCK) for column in columns]
    return b"".join(blocks) + stream.flush()


def decode(data: bytes) -> TopK:
    """What was encoded, its log-probabilities in steps of 1/128. Raises ValueError on bytes that are nothing encoded.

    Takes at most `MOST_BYTES` to decompress, whatever the bytes claim.
    """
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"damaged log-probabilities: {error}") from None
    if not stream.eof or stream.unused_data or len(raw) < _HEAD.size:
        raise ValueError("damaged log-probabilities: cut off, too long, or followed by something else")
    places, entries = _HEAD.unpack_from(raw)
    counts = raw[_HEAD.size : _HEAD.size + places]
    ranks = raw[_HEAD.size + places : _HEAD.size + 2 * places]
    tokens = entries + ranks.count(0)
    columns = raw[_HEAD.size + 2 * places :]
    if len(counts) != len(ranks) or sum(counts) != entries or len(columns) != 3 * tokens + 2 * entries:
        raise ValueError("damaged log-probabilities: the columns do not fit each other")
    every = _joined("I", [*_cut(columns, tokens, 3), bytes(tokens)])
    gaps = _joined("H", _cut(columns[3 * tokens :], entries, 2))
    outside = iter(every[entries:])
    chosen, ids, logprobs, start = [], [], [], 0
    for count, rank in zip(counts, ranks, strict=True):
        row = tuple(every[start : start + count])
        if rank > count:
            raise ValueError("damaged log-probabilities: a chosen token is outside its row")
        chosen.append(row[rank - 1] if rank else next(outside))
        ids.append(row)
        logprobs.append(_logprobs(gaps[start : start + count]))
        start += count
    return TopK(tuple(chosen), tuple(ids), tuple(logprobs))


def _gaps(logprobs: Sequence[float]) -> list[int]:
    """The row in steps, each as the distance to the one before it."""
    gaps, last = [], 0
    for logprob in logprobs:
        if math.isnan(logprob):
            raise ValueError("a log-probability is not a number")
        steps = min(max(round(-max(logprob, -MOST_STEPS) * STEPS), 0), MOST_STEPS)
        if steps < last:
            raise ValueError("a row is not sorted by falling log-probability")
        gaps.append(steps - last)
        last = steps
    return gaps


def _logprobs(gaps: Iterable[int]) -> tuple[float, ...]:
    row, steps = [], 0
    for gap in gaps:
        steps += gap
        row.append(-steps / STEPS)
    return tuple(row)


def _planes(numbers: "array[int]") -> list[bytes]:
    """One column a byte of the numbers, the lowest first."""
    if sys.byteorder == "big":
        numbers.byteswap()
    raw, size = numbers.tobytes(), numbers.itemsize
    return [raw[place::size] for place in range(size)]


def _joined(kind: str, planes: Sequence[bytes]) -> "array[int]":
    raw = bytearray(len(planes) * len(planes[0]))
    for place, plane in enumerate(planes):
        raw[place :: len(planes)] = plane
    numbers = array(kind, bytes(raw))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _cut(columns: bytes, length: int, count: int) -> list[bytes]:
    return [columns[place * length : (place + 1) * length] for place in range(count)]
