"""Scorers of installed packages, and those of reasoning-gym: what they decide, and what they never execute."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from producer.sources import open_source
from producer.sources.rows import Question
from tracemill.verification import Item, Verdict, Verifier, scorers
from tracemill.verification.files import Input, verified
from tracemill.verification.scorers import Scoring

ENTRY = {"question": "Which animal?", "answer": None, "metadata": {"animals": ["cat", "dog"]}}
PACKAGE = """
import os, time

def score(answer, entry):
    if answer == "endless":
        while True: pass
    if answer == "end":
        os._exit(3)
    if answer == "memory":
        return len(bytes(3 << 30))
    if "walrus" in answer:
        return None
    if "nan" in answer:
        return float("nan")
    if "broken" in answer:
        return answer["x"]
    return 1 if answer in entry["metadata"]["animals"] else 1 / len(answer)
"""


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Verifier]:
    """A verifier beside an installed package with the scorer `zoo`."""
    info = tmp_path / "zoo-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tracemill.scorers]\nzoo = zoo_package:score\n")
    (tmp_path / "zoo_package.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    scorers.names.cache_clear()
    verifier = Verifier(1)
    yield verifier
    verifier.close()
    scorers.names.cache_clear()
    scorers.load.cache_clear()


def verdict_of(verifier: Verifier, answer: str, scoring: Scoring) -> Verdict:
    return verifier.verify([Item(f"We look.\nThe answer is {answer}.", scorer=scoring, question_id=1)])[0]


@pytest.mark.parametrize(
    ("answer", "correct", "proof"),
    [
        ("dog", True, "zoo scored 1"),
        ("cow", False, "zoo scored 0.333333"),
        ("walrus", None, "zoo gives no score"),
        ("nan", None, "zoo gives no score"),
        ("broken", None, "zoo failed: TypeError: string indices must be integers"),
        ("end", None, "killed: exit code 3"),
        ("endless", None, "timeout after 3 s"),
        ("memory", None, "killed: memory"),
    ],
)  # fmt: skip
def test_a_scorer_of_an_installed_package_decides_within_the_limits(
    zoo: Verifier, answer: str, correct: bool | None, proof: str
) -> None:
    verdict = verdict_of(zoo, answer, Scoring("zoo", ENTRY))
    assert verdict.correct is correct
    assert verdict.proof.startswith(proof)
    assert verdict.vote is None


def test_a_scorer_that_is_not_installed_blocks_its_traces_alone(zoo: Verifier) -> None:
    items = [Item("The answer is 4.", gold="4"), Item("The answer is 4.", gold="4", scorer=Scoring("os.system", {}))]
    right, blocked = zoo.verify(items)
    assert right.correct is True
    assert (blocked.correct, blocked.proof) == (None, "not run: no scorer os.system")
    assert "no scorer is called 'os.system'. Installed: reasoning_gym, zoo." in str(blocked.blocked_by)


def test_a_row_of_a_file_names_its_scorer(zoo: Verifier, tmp_path: Path) -> None:
    rows = [
        {"trace": "The answer is dog.", "scorer": {"name": "zoo", "entry": ENTRY}},
        {"trace": "The answer is cow.", "scorer": "zoo", "gold": "cow", "animals": ["pig"]},
        {"trace": "The answer is 3.", "scorer": "Ann", "gold": "3"},
        {"trace": "The answer is 3.", "scorer": {"name": "nobody", "entry": {}}, "gold": "3"},
    ]
    (tmp_path / "traces.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (batch,) = verified(Input(str(tmp_path / "traces.jsonl")).lines(), zoo)
    verdicts = [done.row or {} for done in batch]
    assert [verdict["correct"] for verdict in verdicts] == [True, False, True, None]
    assert "no scorer is called 'nobody'" in verdicts[3]["error"]


#: Grids, boards and formulas; data sets whose scorers evaluate answers or compare tuples.
FAMILIES = ("arc_agi", "bitwise_arithmetic", "countdown", "n_queens", "number_sorting", "simple_integration", "sudoku")


def questions(family: str) -> list[Question]:
    rows = islice(open_source(f"gym:{family}?size=2&seed=3", mapping={}), 2)
    return [row for row in rows if isinstance(row, Question)]


def with_entry(question: Question) -> Scoring:
    """The scorer of a question, its entry as Postgres returns it."""
    assert question.scorer is not None
    return Scoring(question.scorer.name, json.loads(json.dumps(question.scorer.entry)))


@pytest.fixture(scope="module")
def gym() -> Iterator[Verifier]:
    verifier = Verifier(1)
    yield verifier
    verifier.close()


def test_puzzles_of_reasoning_gym_are_judged_by_its_own_scorers(gym: Verifier) -> None:
    pairs = [(question, with_entry(question)) for family in FAMILIES for question in questions(family)]
    for form in ("So.\n\nThe answer is:\n{}", "So.\n<answer>\n{}\n</answer>", "Final answer:\n```\n{}\n```"):
        right = [Item(form.format(q.gold), q.gold, q.text, scorer=scoring) for q, scoring in pairs]
        proofs = [(verdict.correct, verdict.proof) for verdict in gym.verify(right)]
        assert proofs == [(True, "reasoning_gym scored 1")] * len(right)
    other = [Item(f"The answer is {2 + len(q.gold or '')}.", q.gold, q.text, scorer=scoring) for q, scoring in pairs]
    assert [verdict.correct for verdict in gym.verify(other)] == [False] * len(other)


@pytest.mark.parametrize("family", ["countdown", "n_queens", "simple_integration", "number_sorting"])
def test_no_scorer_of_reasoning_gym_executes_an_answer(gym: Verifier, tmp_path: Path, family: str) -> None:
    (question, _) = questions(family)
    trap = tmp_path / "executed"
    attacks = [
        f"__import__('pathlib').Path({str(trap)!r}).touch()",
        f"[*map(open({str(trap)!r}, 'w').write, 'x')]",
        f"().__class__.__base__.__subclasses__()[0] or open({str(trap)!r}, 'w')",
        f"x if open({str(trap)!r}, 'w') else x",
    ]
    items = [Item(f"<answer>{attack}</answer>", "1", question.text, scorer=with_entry(question)) for attack in attacks]
    assert not any(verdict.correct for verdict in gym.verify(items))
    assert not trap.exists()
