"""Agreement with human verdicts on `pairs.jsonl`, our pairs of gold and trace."""

import json
from pathlib import Path
from typing import Any

from tracemill.verification.checks import Item, check

PAIRS: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("pairs.jsonl").read_text("utf-8").splitlines()
]


def _verdict(pair: dict[str, Any]) -> tuple[bool | None, str]:
    verdict = check(Item(pair["answer"], pair["gold"], pair.get("question"), pair.get("kind")))
    return verdict.correct, f"{verdict.proof}, answer {verdict.answer!r} of kind {verdict.kind}"


def test_every_verdict_on_our_pairs_equals_the_human_verdict() -> None:
    verdicts = [(pair, *_verdict(pair)) for pair in PAIRS]
    wrong = [
        f"{pair['gold']!r} against {pair['answer']!r} ({pair['why']}): {correct}, not {pair['correct']} ({proof})"
        for pair, correct, proof in verdicts
        if correct is not pair["correct"]
    ]
    assert wrong == [], f"agreement {1 - len(wrong) / len(PAIRS):.3f}"


def test_there_are_600_pairs_and_45_percent_are_wrong() -> None:
    assert len(PAIRS) >= 600
    assert len({(pair["gold"], pair["answer"], pair.get("question"), pair.get("kind")) for pair in PAIRS}) == len(PAIRS)
    assert sum(pair["correct"] is False for pair in PAIRS) / len(PAIRS) >= 0.45
    assert all(pair["why"] for pair in PAIRS)


def test_every_kind_of_answer_has_right_and_wrong_pairs() -> None:
    kinds: dict[str, set[bool | None]] = {}
    for pair in PAIRS:
        verdict = check(Item(pair["answer"], pair["gold"], pair.get("question"), pair.get("kind")))
        kinds.setdefault(str(verdict.kind), set()).add(verdict.correct)
    assert all({True, False} <= kinds[kind] for kind in ("number", "expression", "choice", "boolean", "text"))
    assert kinds["code"] == {None}
