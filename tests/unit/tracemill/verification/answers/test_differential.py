"""Where Tracemill and math-verify differ on one pair, there is a written reason.

The pairs are our labelled pairs, the pairs of the benchmark, and pairs of the kinds that Math-Verify's published tests
cover. math-verify reads the extracted answer as ``$answer$``. `differences.jsonl` gives each difference its reason.
"""

import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.traces import gsm8k_like, math_like
from tests.unit.tracemill.verification.answers.published_kinds import KINDS
from tracemill.verification.answers.math_verify import too_costly
from tracemill.verification.checks import Item, check

HERE = Path(__file__).parent
DOCS = Path(__file__).parents[5] / "docs" / "verification.md"
OURS, THEIRS = "Tracemill", "math-verify"

REASONS = {
    "another unit": "math-verify drops units: 5 m would be 5 cm, $5 would be 5 cents",
    "percent": "500% is not 5; a percent where a number is asked (0.5 and 50%) is undecided",
    "false equation": "math-verify reads only the last side: 5 would be answered by 6 = 5",
    "unsolved": "x² = 5 states no value, and no statement follows from another that never holds",
    "doubt": "a bound, a doubt and a refusal give no answer",
    "point or set": "(1, 2) is no set, and no other order of it",
    "base": "the base belongs to the number; Tracemill reads it in words too",
    "mark": "math-verify drops primes and the case of letters, and reads words as products",
    "ratio": "the order of a ratio and the hours of a time matter; Tracemill reads them in words too",
    "units converted": "units, money and percent in words are read, and converted if both sides name one",
    "number in words": "numbers, scales and constants in words are read",
    "spelling of a number": "digits of other scripts, thousands with spaces or points, mixed numbers, 1e-3",
    "spelling of a formula": "Unicode signs, typed formulas, LaTeX without braces",
    "interval": "an inequality and its interval are the same set, whichever is the gold answer",
    "words": "names, options, yes and no, and sentences are no formulas",
    "date or time": "dates and times of day are read",
    "angle": "60° is π/3",
    "value": "math-verify does not find these two values equal",
}


class Difference(NamedTuple):
    """A pair that only one of the two credits."""

    set: str
    gold: str
    answer: str
    credited_by: str


def published_kinds() -> Iterator[tuple[str, str, bool]]:
    """Yield gold answer, answer, and whether a person finds them equal."""
    for table in KINDS.values():
        for line in table.strip().splitlines():
            gold, sign, answer = line.strip().replace(" != ", " == != ").partition(" == ")
            assert sign, line
            yield gold, answer.removeprefix("!= "), not answer.startswith("!= ")


def _items(name: str) -> Iterator[Item]:
    if name == "published kinds":
        for gold, answer, _ in published_kinds():
            yield Item(rf"The answer is $\boxed{{{answer}}}$.", gold)
    elif name == "benchmark":
        for trace in (*gsm8k_like(16), *math_like(96)):
            yield Item(trace.text, trace.gold, trace.question)
    else:
        for line in (HERE / "pairs.jsonl").read_text("utf-8").splitlines():
            pair = json.loads(line)
            yield Item(pair["answer"], pair["gold"], pair.get("question"), pair.get("kind"))


def _differences(name: str) -> set[Difference]:
    differences = set()
    for item in _items(name):
        verdict = check(item._replace(answer_only=True))
        gold, answer = str(item.gold), verdict.answer if verdict.answer is not None else item.text
        if too_costly(gold) or too_costly(answer):
            continue
        theirs = _math_verify(gold, answer)
        if theirs is not None and theirs != (verdict.correct is True):
            differences.add(Difference(name, gold, answer, THEIRS if theirs else OURS))
    return differences


def _math_verify(gold: str, answer: str) -> bool | None:
    from math_verify import verify

    try:
        return bool(verify(_parsed(gold), _parsed(answer), timeout_seconds=None))
    except Exception:  # it cannot compare them
        return None


@cache
def _parsed(value: str) -> list[Any]:
    from math_verify import parse

    return list(parse(f"${value.strip('$')}$", parsing_timeout=None))


def _explained() -> dict[Difference, str]:
    rows = [json.loads(line) for line in (HERE / "differences.jsonl").read_text("utf-8").splitlines()]
    return {Difference(**{name: row[name] for name in Difference._fields}): row["reason"] for row in rows}


@pytest.mark.parametrize("name", ["published kinds", "benchmark", pytest.param("our pairs", marks=pytest.mark.slow)])
def test_each_difference_from_math_verify_has_a_written_reason(name: str) -> None:
    explained = {difference for difference in _explained() if difference.set == name}
    differences = _differences(name)
    assert differences - explained == set(), "differences without a reason"
    assert explained - differences == set(), "reasons without a difference"


def test_no_verdict_on_the_published_kinds_contradicts_a_person() -> None:
    verdicts = [
        (gold, answer, is_equal, check(Item(rf"\boxed{{{answer}}}", gold, answer_only=True)).correct)
        for gold, answer, is_equal in published_kinds()
    ]
    assert [row for row in verdicts if row[3] is (not row[2])] == []
    assert [row for row in verdicts if row[2] and not row[3]] == [], "right answers that are not credited"


def test_the_documentation_counts_the_differences_by_reason() -> None:
    counts = Counter((reason, difference.credited_by) for difference, reason in _explained().items())
    assert {reason for reason, _ in counts} == set(REASONS)
    table = [
        f"| {reason} | {counts[reason, OURS]} | {counts[reason, THEIRS]} | {sentence} |"
        for reason, sentence in REASONS.items()
    ]
    assert "\n".join(table) in DOCS.read_text("utf-8"), "\n".join(table)
