"""The sampling benchmark replays adaptive sampling on the records of a real job."""

import subprocess
import sys

import pytest
from sqlalchemy import text

from benchmarks.sampling import measure, recorded
from db.session import transaction
from tests.integration.rounds import finish, job, question, trace
from tracemill.errors import UsageError
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def record(name: str, samples: list[list[bool]]) -> None:
    """A finished job with these verdicts, by question."""
    with transaction() as connection:
        questions = [question(connection, f"{name} {number}") for number in range(len(samples))]
        job_id = job(connection, name, questions)
        for question_id, accepted in zip(questions, samples, strict=True):
            for index, passes in reversed(list(enumerate(accepted))):
                trace(connection, job_id, question_id, "The answer is 7.", index=index, accepted=passes)
        finish(connection, job_id)


def test_a_finished_job_is_replayed_in_the_order_of_its_samples(clean: Stack) -> None:
    easy = [True, True] + [False] * 6
    late = [False] * 6 + [True, True]
    never = [False] * 8
    record("fixed", [easy, late, never, easy])
    assert [question.accepted for question in recorded("fixed")] == [easy, late, never, easy]
    with transaction() as connection:  # so that saved tokens differ from saved traces
        connection.execute(text("update traces set tokens_out = sample_index + 1"))
    figures = measure(False, "fixed")
    assert figures["job_tokens_saved"] == pytest.approx(1 - (3 + 36 + 36 + 3) / (4 * 36))
    assert figures["job_yield_kept"] == 1
    assert figures["job_questions"] == 4


def test_a_question_that_failed_is_left_out_of_the_replay(clean: Stack) -> None:
    record("one failed", [[True] * 4, [True]])
    with transaction() as connection:
        connection.execute(
            text("update job_questions set state = 'failed' where question_id = (select max(id) from questions)")
        )
    assert [question.accepted for question in recorded("one failed")] == [[True] * 4]


def test_a_job_that_cannot_be_replayed_is_refused_with_the_reason(clean: Stack) -> None:
    record("adaptive", [[True, True], [False] * 8])
    with pytest.raises(UsageError, match="8 verified traces of only 1 of its 2 questions"):
        recorded("adaptive")
    with transaction() as connection:
        connection.execute(text("update jobs set state = 'running'"))
    with pytest.raises(UsageError, match="is running"):
        recorded("adaptive")
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.sampling", "--job", "nowhere"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr == "there is no job 'nowhere': `tracemill jobs list` shows all\n"
