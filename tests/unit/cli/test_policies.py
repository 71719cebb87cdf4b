"""Policies on the command line: read from a file and flags, and put into words."""

import re
from pathlib import Path

import pytest

from cli.policies import in_words, read_policy, signals_of
from tracemill.errors import UsageError
from tracemill.policy import Gate, Policy, Threshold
from tracemill.statistics import Interval


def test_flags_override_the_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('judge = "verifier"\nsignals = ["coherence"]\nsteps = 2\n')
    policy = read_policy(path, {"judge": None, "judge_share": None, "signals": None}, ["rating=0.7"])
    assert (policy.steps, policy.judge, policy.gates) == (2, "verifier", {"rating": Gate(least=0.7)})
    assert policy.signals == ("coherence", "rating")  # a gate adds its signal


def test_a_gate_names_its_precision_in_the_file_or_in_a_flag(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('judge = "verifier"\ngates = { rating = { precision = 0.9 } }\n')
    assert read_policy(path, {}, []).gates == {"rating": Gate(precision=0.9)}
    assert read_policy(path, {}, ["rating.quantile=0.1"]).gates == {"rating": Gate(quantile=0.1)}


@pytest.mark.parametrize(
    ("text", "gates", "message"),
    [
        ("graunded = true", [], "graunded: there is no such key; did you mean grounded?"),
        ("steps = -1", [], "steps: Input should be greater than or equal to 0"),
        ("steps = ", [], "is not TOML"),
        ('uninformative = { rating = "no" }', [], "measured by `tracemill calibrate` and cannot be set"),
        ("thresholds = { rating = [0.5] }", [], "measured by `tracemill calibrate` and cannot be set"),
        ("", ["rating=high"], "--gate rating=high: write NAME.precision=SHARE"),
        ("", ["rating=nan"], "write NAME.precision=SHARE"),
        ("", ["rating.recall=0.9"], "write NAME.precision=SHARE"),
        ('judge = "verifier"', ["rating.precision=1"], "gates.rating.precision: Input should be less than 1"),
        (
            'judge = "verifier"\ngates = { rating = { precision = 0.9, quantile = 0.1 } }',
            [],
            "gates.rating: write one of precision, quantile and least",
        ),
        ("", ["rateing=0.5"], "--gate rateing=0.5: there is no signal 'rateing'. Did you mean rating? The signals are"),
        ("", ["rating=0.5"], "--gate rating=0.5: gates need a judge that sees every question: add --judge ALIAS"),
        ('judge = "verifier"\njudge_share = 0.5', ["rating=0.5"], "--gate rating=0.5: gates need a judge that sees"),
        (
            'judge = "verifier"',
            ["rating=70"],
            "no trace passes the gate rating = 70: the largest value of a signal is 1",
        ),
        ('judge = "nobody"', [], "unknown model alias 'nobody'"),
    ],
)
def test_a_wrong_policy_is_named_with_its_fault(tmp_path: Path, text: str, gates: list[str], message: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)):
        read_policy(path, {}, gates)


def test_a_missing_policy_file_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_policy(Path("none.toml"), {}, [])


def test_unknown_signals_are_named() -> None:
    assert signals_of("coherence, rating") == ["rating", "coherence"]
    with pytest.raises(UsageError, match=re.escape("unknown mood. The signals are rating")):
        signals_of("rating,mood")


def test_a_policy_in_words_names_ignored_signals_and_canaries() -> None:
    policy = Policy(judge="verifier", gates={"rating": 0.7}, uninformative={"rating": "not calibrated"})
    canary = {"name": "17 + 26 = 45", "attack": "fake verdict", "plain": 0.3, "fooled": True}
    words = in_words(policy, [canary, canary | {"attack": "threat", "fooled": False}])
    assert words["signal rating"] == "stored and ignored: not calibrated"
    assert words["canaries"] == "THE JUDGE FELL FOR 1 of 2: fake verdict"
    assert "without attacks" not in words
    assert words["judge"] == "verifier sees the traces that could still be accepted of 100% of the questions"


def test_a_calibrated_gate_in_words_has_its_threshold_and_both_shares() -> None:
    threshold = Threshold(0.83, Interval(0.95, 0.91, 0.98), Interval(0.8, 0.72, 0.86))
    policy = Policy(judge="verifier", gates={"rating": Gate(precision=0.9)}, thresholds={"rating": threshold})
    assert in_words(policy)["signal rating"] == (
        "at least 0.83, calibrated for precision 0.9: then 0.95 [0.91, 0.98] of the traces are right, and 0.80 [0.72, "
        "0.86] of the right ones pass"
    )


def test_canaries_show_whether_the_judge_reacts_to_a_wrong_sum() -> None:
    wrong = {"name": "17 + 26 = 45", "attack": "threat", "plain": 0.3, "fooled": False}
    right = {"name": "17 + 26 = 43", "attack": "authority, no", "plain": 0.8, "fooled": False}
    unrated = right | {"name": "38 + 24 = 62", "plain": None}
    words = in_words(Policy(judge="verifier"), [wrong, wrong | {"plain": 0.5}, right, unrated])
    assert words["without attacks"] == "the judge rates right sums 0.80 and wrong ones 0.40"
