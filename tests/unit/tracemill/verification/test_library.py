"""`from tracemill.verification import verify`: what another program can rely on."""

import subprocess
import sys
from pathlib import Path

import pytest

import tracemill.verification as library
from tests import ROOT
from tests.conftest import forget
from tests.scripted_server import ScriptedServer
from tracemill.errors import UsageError
from tracemill.policy import Policy
from tracemill.verification import Item, verify, verify_many
from tracemill.verification.checks import MAX_TEXT, check
from tracemill.verification.code.sandbox import Sandbox
from tracemill.verification.judge import Case
from tracemill.verification.pipeline import case_of

RIGHT = Item("3 + 4 = 7. The answer is 7.", gold="7", question="What is 3 + 4?")
PROGRAM = Item("```python\ndef one():\n    return 1\n```", gold="assert one() == 1", kind="code")


def test_the_examples_of_its_documentation_run_in_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "doctest", str(ROOT / "docs" / "verification.md")]
    here = {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stdout + ended.stderr


def test_importing_it_loads_neither_checks_nor_settings() -> None:
    code = (
        "import sys, tracemill.verification\n"
        "heavy = {'pydantic', 'pebble', 'sympy', 'math_verify', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_each_public_name_exists_and_others_do_not() -> None:
    assert [getattr(library, name).__name__ for name in library.__all__] == library.__all__
    with pytest.raises(AttributeError, match="no attribute 'verdicts'"):
        _ = library.verdicts


def test_without_a_policy_nothing_is_accepted_or_refused() -> None:
    verdict = verify(RIGHT)
    assert (verdict.correct, verdict.accepted, verdict.refusal, verdict.blocked_by) == (True, None, None, None)
    assert verify_many([]) == []


def test_samples_vote_by_question_and_a_killed_check_counts_among_them() -> None:
    texts = ["x" * (MAX_TEXT + 1), "The answer is 2.", "The answer is 2.0.", "The answer is 3."]
    samples = [Item(text, question_id=1) for text in texts] + [Item("The answer is 3.", question_id=2)]
    verdicts = verify_many([*samples, Item("The answer is 3.", question_id=1, gold="3"), Item("The answer is 3.")])
    proofs = ["majority 2/4", "majority 2/4", "minority 1/4", "majority 1/1", "exact rational", "no gold answer"]
    assert [verdict.proof for verdict in verdicts[1:]] == proofs
    assert verdicts[0].vote is None


def test_without_a_sandbox_a_program_is_undecided_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracemill.verification.pipeline.sandbox", lambda: Sandbox(bwrap="/no/such/bwrap"))
    right, program = verify_many([RIGHT, PROGRAM], policy=Policy())
    assert (right.correct, right.accepted, right.blocked_by) == (True, True, None)
    assert (program.correct, program.proof, program.accepted) == (None, "not run: no sandbox", None)
    assert "no sandbox: /no/such/bwrap cannot be executed" in str(program.blocked_by)


THINKING = RIGHT._replace(text="<think>3 + 4 = 8, no. 3 + 4 = 7.</think>\nThe answer is 7.\x00")


def test_a_judge_sees_no_thoughts() -> None:
    assert case_of(THINKING, check(THINKING)) == Case("What is 3 + 4?", ["The answer is 7."], "7", "7")


def test_a_judge_that_sees_thoughts_is_told_so() -> None:
    case = case_of(THINKING, check(THINKING), shows_thoughts=True)
    assert case == Case("What is 3 + 4?", ["3 + 4 = 8, no. 3 + 4 = 7."], "7", "7", steps_are_thoughts=True)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> ScriptedServer:
    server = ScriptedServer(first_words={"yes": -0.2, "no": -1.7})
    monkeypatch.setenv("TRACEMILL_MODELS__SCRIPTED__ENGINE", "openai")
    monkeypatch.setenv("TRACEMILL_MODELS__SCRIPTED__MODEL", "scripted")
    return server


@pytest.mark.parametrize("judge_thoughts", [False, True])
def test_a_policy_decides_whether_its_judge_reads_thoughts(
    judged: ScriptedServer, monkeypatch: pytest.MonkeyPatch, judge_thoughts: bool
) -> None:
    with judged as server:
        monkeypatch.setenv("TRACEMILL_MODELS__SCRIPTED__BASE_URL", server.base_url)
        forget()
        signals = ("rating", "uplift", "counterfactual", "coherence")
        (verdict,) = verify_many(
            [THINKING], policy=Policy(judge="scripted", signals=signals, judge_thoughts=judge_thoughts)
        )
    assert verdict.faithfulness is not None
    assert any("3 + 4 = 8, no" in str(body) for _, body in server.requests) is judge_thoughts
    monkeypatch.undo()
    forget()


def test_a_judge_rates_every_trace_or_what_a_policy_could_accept(
    judged: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = RIGHT._replace(gold="8")
    with judged as server:
        monkeypatch.setenv("TRACEMILL_MODELS__SCRIPTED__BASE_URL", server.base_url)
        forget()
        verdicts = verify_many([RIGHT, wrong], judge="scripted")
        assert [verdict.faithfulness for verdict in verdicts] == [pytest.approx(0.8176, abs=1e-3)] * 2
        verdicts = verify_many([RIGHT, wrong], policy=Policy(judge="scripted", gates={"rating": 0.7}))
        assert [verdict.faithfulness is None for verdict in verdicts] == [False, True]
        assert [verdict.accepted for verdict in verdicts] == [True, False]
    with pytest.raises(UsageError, match="unknown model alias 'nobody'"):
        verify_many([RIGHT], judge="nobody")
    monkeypatch.undo()
    forget()
