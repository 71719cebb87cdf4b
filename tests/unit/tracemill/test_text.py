"""Fingerprints, content hashes and gold answers."""

import json
import logging
import sys
import time

import pytest

from tracemill.text import (
    PrintableRecord,
    content_hash,
    final_gold,
    fingerprint,
    printable,
    printable_json,
    storable,
    words,
)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("What is 3 - 2?", "  what is\n3-2 "),
        ("What is 3 − 2?", "What is 3 - 2?"),
        ("3 × 4 ÷ 2", "3*4/2"),
        ("Janet’s ducks", "Janet's ducks!"),
        ("It costs $1,500.", "It costs 1500"),
        ("a well-known “riddle”", "A well known riddle"),
        ("ﬁve ｆｕｌｌ wide", "five full wide"),
        ("Straße", "STRASSE"),
        ("x²", "x^2"),
    ],
)
def test_questions_that_differ_only_in_spelling_share_a_fingerprint(first: str, second: str) -> None:
    assert fingerprint(first) == fingerprint(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("1.5", "15"),
        ("1.5", "1 5"),
        ("3 - 2", "3 2"),
        ("3 + 2", "3 - 2"),
        ("3 * 2", "3 / 2"),
        ("5%", "5"),
        ("x = 2", "x 2"),
        ("x < 2", "x > 2"),
        ("10²", "102"),
        ("12 3", "1 23"),
        ("(1, 2)", "12"),
        ("कि", "का"),
        ("ice", "i ce"),
    ],
)
def test_questions_with_different_meanings_have_different_fingerprints(first: str, second: str) -> None:
    assert fingerprint(first) != fingerprint(second)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234,567 and 1,2 and 12,3456", "1234567 and 1 2 and 12 3456"),
        ("1.5. Then .5, and 3.", "1.5 then .5 and 3"),
        ("well-known a-b x-1 3-2", "well known a - b x - 1 3 - 2"),
        ("a≤b", "a ≤ b"),
        ("5⁄6 · 2", "5 / 6 * 2"),
    ],
)
def test_a_text_is_split_into_words_numbers_and_signs(text: str, expected: str) -> None:
    assert words(text) == expected.split()


def test_a_fingerprint_is_32_hex_digits_that_never_change() -> None:
    assert fingerprint("What is 3 - 2?") == "2abad0cbcb7898a10856663e36b807ec"


@pytest.mark.parametrize("hostile", ["-" * 10**6, "1,000" * 200_000, "ab-" * 300_000, "." * 10**6])
def test_a_megabyte_of_hostile_text_is_fingerprinted_in_linear_time(hostile: str) -> None:
    start = time.process_time()
    fingerprint(hostile)
    final_gold("####" + hostile)
    assert time.process_time() - start < 10


def test_content_hashes_depend_on_part_borders_and_missing_parts() -> None:
    hashes = [
        content_hash("ab", "c"),
        content_hash("a", "bc"),
        content_hash("abc"),
        content_hash("abc", None),
        content_hash("abc", ""),
        content_hash(None, "abc"),
        content_hash("1;a", ""),
        content_hash(),
    ]
    assert len(set(hashes)) == len(hashes)
    # Keys of rows in Postgres: they never change.
    assert content_hash("ab", None) == "6c98250832fc2cf5ab2a911af32d42de"


def test_characters_that_postgres_cannot_store_are_removed_or_replaced() -> None:
    assert storable("a\x00b") == "ab"
    assert storable("a\ud800b") == "a?b"
    assert storable("é — 你好 😀") == "é — 你好 😀"


@pytest.mark.parametrize(
    ("text", "gold"),
    [
        ("She sold 48/2 = <<48/2=24>>24.\n#### 72", "72"),
        ("#### 1,234,567", "1234567"),
        ("a #### b #### -3.5 ", "-3.5"),
        ("  (1, 2) ", "(1, 2)"),
        ("1,234", "1,234"),
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        ("#### (1,2)", "(1,2)"),
    ],
)
def test_the_gold_answer_is_the_text_after_the_last_mark_or_the_whole_text(text: str, gold: str) -> None:
    assert final_gold(text) == gold


#: Colours, a title, a clipboard write, C1 controls, marks of direction, invisible text, a line overwritten.
HOSTILE = "\x1b[31m\x1b]52;c;eA==\x07\x9b2J\u202eevil\u2066\u200b\U000e0041\r"


def test_a_terminal_obeys_and_hides_nothing_of_a_text() -> None:
    shown = printable(HOSTILE)
    assert shown == r"\x1b[31m\x1b]52;c;eA==\x07\x9b2J\u202eevil\u2066\u200b\U000e0041\r"
    assert printable(shown) == shown
    ordinary = "é — 你好\u3000😀 👩\u200d🔬 نمی\u200cخواهم\ta\xa0b\n"
    assert printable(ordinary) == ordinary


def test_json_for_a_terminal_keeps_its_meaning() -> None:
    encoded = printable_json(json.dumps([HOSTILE, "你好", "\ud800"], ensure_ascii=False))
    assert printable(encoded) == encoded
    assert json.loads(encoded) == [HOSTILE, "你好", "\ud800"]


def test_a_log_line_and_its_traceback_are_printable() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        record = PrintableRecord("log", logging.ERROR, "file.py", 1, "%s answered", (HOSTILE,), sys.exc_info())
    line = logging.Formatter().format(record)
    assert printable(line) == line
    assert line.count("evil") == 2
