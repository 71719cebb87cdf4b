"""The table of scores and everything that derives from it."""

import runpy

import pytest
from pydantic import ValidationError

from tests import ROOT
from tracemill.policy import Policy
from tracemill.scores import SCORE_FIELDS, SCORES, scores_of
from tracemill.verification.checks import Item, check
from tracemill.verification.rows import FIELDS


def test_the_table_in_the_documentation_is_up_to_date() -> None:
    generator = runpy.run_path(str(ROOT / "docs" / "make_scores.py"))
    assert generator["PAGE"].read_text(encoding="utf-8") == generator["page"]()


def test_every_score_of_a_checked_trace_has_the_type_of_its_column() -> None:
    types = {"bigint": int, "real": float, "boolean": bool}
    text = "We have 2 + 3 = 5 apples in the box. We add 4 + 4 + 1 = 10. The answer is 10."
    scores = scores_of(check(Item(text, "9", "There are 2 apples and 3 more, then 4.")))
    assert list(scores) == [score.name for score in SCORES]
    assert {name for name, value in scores.items() if value is None} == set()
    assert all(type(scores[score.name]) is types[score.sql_type] for score in SCORES)
    assert (scores["equations_checked"], scores["equations_false"], scores["first_error"]) == (2, 1, 1)


def test_a_check_of_its_own_gets_the_question_and_the_steps() -> None:
    question = "There are 2 apples and 3 more, then 4."
    findings = check(Item(f"{question}\nWe have 2 + 3 + 4 = 9 apples.", "9", question))
    assert findings.measured == {"restatements": 0.5}


def test_verified_files_hold_every_score() -> None:
    assert set(SCORE_FIELDS) < set(FIELDS)
    assert {score.name for score in SCORES} - set(SCORE_FIELDS) == {
        "equations_checked",
        "equations_false",
        "steps",
        "first_error",
    }


def test_a_policy_puts_thresholds_on_any_numeric_score() -> None:
    policy = Policy(correct=False, equations=False, stated=False, at_most={"restatements": 0.5}, at_least={"steps": 2})
    verdict = {"restatements": 0.5, "steps": 2}
    assert policy.passes(verdict, stated=False, finished=False)
    assert not policy.passes(verdict | {"restatements": 0.51}, stated=False, finished=False)
    assert not policy.passes(verdict | {"steps": 1}, stated=False, finished=False)
    assert not policy.passes(verdict | {"restatements": None}, stated=False, finished=False)


def test_a_threshold_on_an_unknown_score_names_those_there_are() -> None:
    with pytest.raises(
        ValidationError, match=r"there is no score 'restatement', only equations_checked, .*restatements"
    ):
        Policy(at_most={"restatement": 0.5})
