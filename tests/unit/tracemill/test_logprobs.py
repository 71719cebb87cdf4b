"""Encoded log-probabilities: exact round trips, size, and refused input."""

import math
import random
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracemill import logprobs
from tracemill.logprobs import TopK, decode, encode

# The limits of the format.
LOWEST = -511.9921875  # 65,535 steps of 1/128
LONGEST_ROW = 254
MAX_IDS = 2**24
MAX_BYTES = 2**24

token_ids = st.integers(0, MAX_IDS - 1)
rows = st.dictionaries(token_ids, st.floats(max_value=0, allow_nan=False), max_size=12)


@st.composite
def tops(draw: st.DrawFn) -> TopK:
    """Rows of any length; the chosen token is in its row or not."""
    positions = []
    for likely in draw(st.lists(rows, max_size=20)):
        inside = likely and draw(st.booleans())
        positions.append((draw(st.sampled_from(sorted(likely)) if inside else token_ids), likely))
    return TopK.of(positions)


@given(tops())
def test_decoding_gives_exact_ids_and_log_probabilities_within_a_step(top: TopK) -> None:
    back = decode(encode(top))
    assert (back.chosen, back.ids) == (top.chosen, top.ids)
    for kept, given_ in zip(back.logprobs, top.logprobs, strict=True):
        assert len(kept) == len(given_)
        assert list(kept) == sorted(kept, reverse=True)
        for decoded, original in zip(kept, given_, strict=True):
            assert abs(decoded - max(original, LOWEST)) <= 1 / 256


@given(tops())
def test_decoded_log_probabilities_encode_to_the_same_bytes(top: TopK) -> None:
    data = encode(top)
    assert encode(decode(data)) == data


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        decode(data)


@given(tops(), st.data())
def test_damaged_bytes_are_refused(top: TopK, data: st.DataObject) -> None:
    whole = encode(top)
    top_again = decode(whole)
    index, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(whole)
    damaged[index] ^= 1 << bit
    for bad in (bytes(damaged), whole[:index], whole + whole[: index + 1]):
        with suppress(ValueError):
            assert decode(bad) == top_again  # a bit without meaning, such as zlib's compression level


@given(st.binary(max_size=400))
def test_columns_that_do_not_fit_are_refused_even_with_a_right_checksum(columns: bytes) -> None:
    with suppress(ValueError):
        top = decode(zlib.compress(columns))
        assert len(top.chosen) == len(top.ids) == len(top.logprobs)


def test_a_small_input_cannot_use_all_memory() -> None:
    with pytest.raises(ValueError, match="too long"):
        decode(zlib.compress(bytes(4 * MAX_BYTES)))


def test_rows_are_sorted_by_falling_log_probability() -> None:
    top = TopK.of([(7, {7: -3.0, 1: -0.5, 2: -1.0})])
    assert top == TopK((7,), ((1, 2, 7),), ((-0.5, -1.0, -3.0),))


def test_impossible_values_are_clipped_to_the_possible_range() -> None:
    top = TopK((1,), ((1, 2),), ((0.25, -math.inf),))
    assert decode(encode(top)).logprobs == ((0.0, LOWEST),)


@pytest.mark.parametrize(
    ("chosen", "ids", "logprobs", "reason"),
    [
        ((1,), (), (), "the same length"),
        ((1,), ((1, 2),), ((-1.0,),), "2 ids and 1 logprobs"),
        ((1,), (tuple(range(LONGEST_ROW + 1)),), ((-1.0,) * (LONGEST_ROW + 1),), "at most 254"),
        ((1,), ((1, 2),), ((-2.0, -1.0),), "not sorted"),
        ((1,), ((1,),), ((math.nan,),), "not a number"),
        ((MAX_IDS,), ((1,),), ((-1.0,),), "token id"),
        ((-1,), ((1,),), ((-1.0,),), "token id"),
        ((1,) * 10**5, ((*range(40),),) * 10**5, ((-1.0,) * 40,) * 10**5, "more than 16777216 bytes"),
    ],
)
def test_values_outside_the_format_are_refused(
    chosen: tuple[int, ...], ids: tuple[tuple[int, ...], ...], logprobs: tuple[tuple[float, ...], ...], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        encode(TopK(chosen, ids, logprobs))


def test_eight_likely_tokens_take_less_than_half_of_their_bare_bytes() -> None:
    # These tokens are independent of each other, unlike those of real text, which take 19 bytes each.
    rng = random.Random(1)
    positions = []
    for _ in range(200):
        ids = list(dict.fromkeys(int(49152 ** rng.random()) for _ in range(40)))[:8]
        logprobs = sorted((-rng.expovariate(0.3) for _ in ids), reverse=True)
        positions.append((ids[0], dict(zip(ids, logprobs, strict=True))))
    assert len(encode(TopK.of(positions))) / 200 < 24  # bare, as two 32-bit numbers each: 64


def test_bytes_of_an_earlier_version_can_still_be_decoded() -> None:
    stored = "789c62666060600162809819190062646000885da78091930920064641a008400c200106801c121ef00204620306001dc7025c"
    assert decode(bytes.fromhex(stored)) == TopK(
        (7, 9, 2), ((7, 300, 70000), (1,), ()), ((-0.5, -1.25, -3.0), (-0.1015625,), ())
    )


def test_the_largest_row_and_token_come_back() -> None:
    last = 2**24 - 1
    row = (*range(253), last)
    for chosen in (0, last, last - 1):
        top = TopK((chosen,), (row,), ((-1.0,) * 254,))
        assert decode(encode(top)) == top


def test_the_largest_allowed_size_is_stored_and_read(monkeypatch: pytest.MonkeyPatch) -> None:
    top = TopK((5,), ((5,),), ((-1.0,),))  # 15 bytes before compression
    data = encode(top)
    monkeypatch.setattr(logprobs, "MAX_BYTES", 15)
    assert (encode(top), decode(data)) == (data, top)
    monkeypatch.setattr(logprobs, "MAX_BYTES", 14)
    with pytest.raises(ValueError, match="more than 14 bytes"):
        encode(top)
    with pytest.raises(ValueError, match="too long"):
        decode(data)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("00000000 0000000000", "do not fit"),
        ("01000000 00000000 00", "do not fit"),
        ("01000000 01000000 01 02 0000000000", "outside its row"),
        ("01000000 01000000 00 01 0000000000", "do not fit"),
        ("00000000 000000", "damaged"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(columns: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(zlib.compress(bytes.fromhex(columns)))


def test_the_smallest_valid_columns_are_decoded() -> None:
    assert decode(zlib.compress(bytes.fromhex("00000000 00000000"))) == TopK((), (), ())
    assert decode(zlib.compress(bytes.fromhex("01000000 01000000 01 01 050000 8000"))) == TopK(
        (5,), ((5,),), ((-1.0,),)
    )
