"""The likeliest tokens at each position of an answer, and their compact encoding.

An encoded `TopK` is one zlib stream of columns: the rows' lengths, the rank of the chosen token in each row, the ids,
the log-probabilities. Similar values are neighbours in a column, so it compresses well. Numbers of several bytes become
one column for each byte. Every column is its own Deflate block, with codes for its own frequencies. Log-probabilities
are rounded to steps of 1/128 and stored as the distance to the value before them in the row, a small number.

Loss: at most 1/256 = 0.004 of a log-probability, which is 0.4 % of a probability. Half precision loses more below -8,
and a bfloat16 model is less exact. Values below -511.99 become -511.99. Token ids are exact.

Size for k = 8: 19.5 bytes a token, measured over 24 answers of SmolLM2-135M (2,380 tokens, vocabulary of 49,152,
temperature 0.7), nearly two thirds of them for the ids. Time for k = 20: 1.6 µs a token (`benchmarks.encoding`).
"""

import struct
import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Name of this format, stored beside the encoded bytes.
ENCODING = "columns-128-1"
#: Steps in one unit of log-probability, and the largest distance from 0 in steps.
STEPS, MAX_STEPS = 128, 2**16 - 1
#: The longest row, the largest token id plus one, and the most bytes before compression (100,000 positions of k = 20).
LONGEST_ROW, MAX_IDS, MAX_BYTES = 254, 2**24, 2**24

_HEAD = struct.Struct("<II")


class TopK:
    """The likeliest tokens at each of the T positions of an answer.

    A row holds the k likeliest tokens, and the chosen token as entry k + 1 if it is not among them. The rows are kept
    as columns: 64-bit arrays of all entries, row after row.
    """

    def __init__(
        self, chosen: Sequence[int], ids: Sequence[Sequence[int]], logprobs: Sequence[Sequence[float]]
    ) -> None:
        """Take the T sampled tokens, and T rows. Raises ValueError when their lengths differ.

        A row has token ids by falling log-probability, and as many natural logarithms of their probabilities.
        """
        if not len(chosen) == len(ids) == len(logprobs):
            raise ValueError("chosen, ids and logprobs must have the same length")
        for tokens, values in zip(ids, logprobs, strict=True):
            if len(tokens) != len(values):
                raise ValueError(f"a row has {len(tokens)} ids and {len(values)} logprobs")
        lengths = list(map(len, ids))
        entries = list(chain.from_iterable(logprobs))
        self._set(integers(chosen), integers(lengths), integers(list(chain.from_iterable(ids))), floats(entries))

    @classmethod
    def of_columns(cls, chosen: "NDArray[Any]", lengths: "NDArray[Any]", ids: "NDArray[Any]", logprobs: Any) -> "TopK":
        """Build it from the chosen tokens, the lengths of the rows, and their entries."""
        top = cls.__new__(cls)
        top._set(chosen, lengths, ids, logprobs)
        return top

    @classmethod
    def of(cls, positions: Iterable[tuple[int, Mapping[int, float]]]) -> "TopK":
        """Build it from (chosen token, log-probabilities by token id) of each position, and sort the rows."""
        chosen, ids, logprobs = [], [], []
        for token, likely in positions:
            row = sorted(likely.items(), key=lambda entry: -entry[1])
            chosen.append(token)
            ids.append([token for token, _ in row])
            logprobs.append([logprob for _, logprob in row])
        return cls(chosen, ids, logprobs)

    def _set(self, chosen: "NDArray[Any]", lengths: "NDArray[Any]", ids: "NDArray[Any]", logprobs: Any) -> None:
        self.columns = chosen, lengths, ids, logprobs

    @property
    def chosen(self) -> tuple[int, ...]:
        """Ids of the sampled tokens, one for each position."""
        return tuple(self.columns[0].tolist())

    @property
    def chosen_logprobs(self) -> "NDArray[Any]":
        """The log-probability of each sampled token; −∞ where the row lacks it."""
        import numpy as np

        chosen, lengths, ids, logprobs = self.columns
        ranks = _ranks(chosen, lengths, ids).astype(np.int64)
        values = np.full(len(chosen), -np.inf)
        values[ranks > 0] = logprobs[(_starts(lengths) + ranks - 1)[ranks > 0]]
        return values

    @property
    def ids(self) -> tuple[tuple[int, ...], ...]:
        """T rows of token ids, sorted by falling log-probability."""
        return self._rows(self.columns[2])

    @property
    def logprobs(self) -> tuple[tuple[float, ...], ...]:
        """T rows of natural logarithms of their probabilities, as long as those of `ids`."""
        return self._rows(self.columns[3])

    def _rows(self, entries: "NDArray[Any]") -> tuple[tuple[Any, ...], ...]:
        ends = self.columns[1].cumsum().tolist()
        flat = entries.tolist()
        return tuple(tuple(flat[start:end]) for start, end in zip([0, *ends], ends, strict=False))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TopK):
            return NotImplemented
        return (self.chosen, self.ids, self.logprobs) == (other.chosen, other.ids, other.logprobs)

    __hash__ = None  # type: ignore[assignment]  # its arrays can be changed

    def __repr__(self) -> str:
        return f"TopK({self.chosen}, {self.ids}, {self.logprobs})"


def encode(top: TopK) -> bytes:
    """The compressed bytes; values above 0 become 0.

    Raises ValueError for unsorted rows and for values outside the limits above.
    """
    import numpy as np

    chosen, lengths, ids, logprobs = top.columns
    if lengths.max(initial=0) > LONGEST_ROW:
        raise ValueError(f"a row has {lengths.max()} ids (at most {LONGEST_ROW})")
    ranks = _ranks(chosen, lengths, ids)
    every = np.concatenate([ids, chosen[ranks == 0]])
    if len(every) and not 0 <= every.min() <= every.max() < MAX_IDS:
        raise ValueError(f"a token id is not between 0 and {MAX_IDS - 1}")
    columns = [
        _HEAD.pack(len(chosen), len(ids)),
        lengths.astype(np.uint8).tobytes(),
        ranks.tobytes(),
        *_planes(every, 3),
        *_planes(_gaps(lengths, logprobs), 2),
    ]
    if sum(map(len, columns)) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes of log-probabilities for one answer")
    # Longer repetitions than runs of one byte are rare in a column. Looking for them takes most of the time.
    stream = zlib.compressobj(memLevel=zlib.DEF_MEM_LEVEL + 1, strategy=zlib.Z_RLE)
    blocks = [stream.compress(column) + stream.flush(zlib.Z_BLOCK) for column in columns]
    return b"".join(blocks) + stream.flush()


def decode(data: bytes) -> TopK:
    """The encoded value, its log-probabilities rounded to 1/128. Raises ValueError on damaged bytes.

    Decompresses at most `MAX_BYTES`.
    """
    import numpy as np

    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise ValueError(f"damaged log-probabilities: {error}") from None
    if not stream.eof or stream.unused_data or len(raw) < _HEAD.size:
        raise ValueError("damaged log-probabilities: cut off, too long, or followed by something else")
    length, entries = _HEAD.unpack_from(raw)
    numbers = np.frombuffer(raw, np.uint8, offset=_HEAD.size).astype(np.int64)
    lengths, ranks, columns = numbers[:length], numbers[length : 2 * length], numbers[2 * length :]
    tokens = entries + int((ranks == 0).sum())
    if len(lengths) != len(ranks) or lengths.sum() != entries or len(columns) != 3 * tokens + 2 * entries:
        raise ValueError("damaged log-probabilities: the columns do not fit each other")
    if (ranks > lengths).any():
        raise ValueError("damaged log-probabilities: a chosen token is outside its row")
    every = _joined(columns[: 3 * tokens].reshape(3, tokens))
    gaps = _joined(columns[3 * tokens :].reshape(2, entries))
    chosen = np.empty(length, np.int64)
    is_inside = ranks > 0
    chosen[is_inside] = every[(_starts(lengths) + ranks - 1)[is_inside]]
    chosen[~is_inside] = every[entries:]
    steps = gaps.cumsum()
    steps -= np.repeat(np.concatenate([[0], steps])[_starts(lengths)], lengths)
    return TopK.of_columns(chosen, lengths, every[:entries], steps / -STEPS)


def integers(values: Sequence[int]) -> "NDArray[Any]":
    """The values as 64-bit integers."""
    import numpy as np

    return np.frombuffer(array("q", values), np.int64)  # NumPy itself takes half as long again


def floats(values: Sequence[float]) -> "NDArray[Any]":
    """The values as 64-bit floating-point numbers."""
    import numpy as np

    return np.frombuffer(array("d", values), np.float64)


def _starts(lengths: "NDArray[Any]") -> "NDArray[Any]":
    """The number of entries before each row."""
    starts: NDArray[Any] = lengths.cumsum() - lengths
    return starts


def _ranks(chosen: "NDArray[Any]", lengths: "NDArray[Any]", ids: "NDArray[Any]") -> "NDArray[Any]":
    """The position of the chosen token in each row, from 1; 0 if the row lacks it."""
    import numpy as np

    entries = np.flatnonzero(ids == np.repeat(chosen, lengths))[::-1]  # so that the first of a row is written last
    rows = np.searchsorted(lengths.cumsum(), entries, side="right")
    ranks = np.zeros(len(chosen), np.uint8)
    ranks[rows] = entries - _starts(lengths)[rows] + 1
    return ranks


def _gaps(lengths: "NDArray[Any]", logprobs: "NDArray[Any]") -> "NDArray[Any]":
    """The entries in steps, each as the distance to the one before it in its row."""
    import numpy as np

    if np.isnan(logprobs).any():
        raise ValueError("a log-probability is not a number")
    steps = np.rint(np.maximum(logprobs, -MAX_STEPS) * -STEPS).clip(0, MAX_STEPS).astype(np.int64)
    gaps = np.diff(steps, prepend=0)
    firsts = _starts(lengths)[lengths > 0]
    gaps[firsts] = steps[firsts]
    if (gaps < 0).any():
        raise ValueError("a row is not sorted by falling log-probability")
    return gaps


def _planes(numbers: "NDArray[Any]", count: int) -> list[bytes]:
    """One column for each of `count` bytes of the numbers, the lowest byte first."""
    import numpy as np

    return [(numbers >> 8 * byte).astype(np.uint8).tobytes() for byte in range(count)]


def _joined(planes: "NDArray[Any]") -> "NDArray[Any]":
    """The numbers of their columns of bytes, the lowest byte first."""
    import numpy as np

    numbers: NDArray[Any] = (planes << 8 * np.arange(len(planes))[:, None]).sum(0)
    return numbers
