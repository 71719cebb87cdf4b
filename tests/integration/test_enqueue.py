"""Enqueue against the real database: running it again completes it, and nothing is stored twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db.jobs import one_prompt
from db.queries import Q
from db.session import transaction
from producer import enqueue as enqueuing
from producer.enqueue import enqueue
from producer.sources import Problem, Question, open_source
from tests.integration.factory import additions, change, fill, job_spec, job_state, rows, states, value
from tracemill.errors import UsageError
from tracemill.policy import Policy
from tracemill.prompts import Prompt
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def test_the_same_enqueue_twice_stores_everything_once(clean: Stack) -> None:
    first, again = fill(additions(10), "sums"), fill(additions(10), "sums")
    assert (first.read, first.new) == (10, 10)
    assert (again.read, again.new, again.job_id) == (10, 0, first.job_id)
    assert value("select count(*) from questions") == 10
    assert states("sums") == {"pending": 10}
    assert job_state("sums") == "running"


def test_a_repeated_question_within_one_source_is_stored_once(clean: Stack) -> None:
    done = fill([*additions(3), *additions(3)], "sums")
    assert (done.read, done.new) == (6, 3)


def test_an_enqueue_that_died_half_way_is_completed_by_running_it_again(
    clean: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enqueuing, "BATCH", 10)

    def dies() -> Iterator[Question]:
        yield from additions(25)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(dies(), "sums")
    assert states("sums") == {"pending": 20}
    assert job_state("sums") == "filling"
    done = fill(additions(40), "sums")
    assert (done.read, done.new) == (40, 20)
    assert states("sums") == {"pending": 40}
    assert job_state("sums") == "running"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"samples": 8}, "samples: 4, not 8"),
        ({"model": "student"}, "model: 'teacher', not 'student'"),
        ({"purpose": "evaluate"}, "purpose"),
        ({"sampling": {"temperature": 1.0}}, "sampling"),
        ({"policy": Policy(judge="verifier")}, "policy"),
        ({"source": "elsewhere"}, "source"),
        ({"prompts": one_prompt(Prompt(({"role": "user", "content": "Think. {question}"},)))}, "prompt"),
        ({"enough": 2}, "enough"),
    ],
)
def test_a_name_that_is_taken_by_other_settings_is_refused_naming_the_difference(
    clean: Stack, changes: dict[str, object], named: str
) -> None:
    fill(additions(2), "sums")
    with pytest.raises(UsageError, match=f"job 'sums' exists with another {named}"):
        fill(additions(5), "sums", **changes)
    assert states("sums") == {"pending": 2}


def test_a_question_in_two_jobs_is_one_question(clean: Stack) -> None:
    for name in ("first", "second"):
        enqueue(additions(3), job_spec(name), dataset="shared", domain="math")
    assert value("select count(*) from questions") == 3
    assert states("first") == states("second") == {"pending": 3}


def test_the_same_text_with_another_gold_or_in_another_dataset_is_another_question(clean: Stack) -> None:
    fill([Question("What is 1 + 1?", gold, None, None, {}, None) for gold in ("2", "10", None)], "sums")
    fill(additions(2, first=1), "others")
    assert value("select count(*) from questions") == 5
    assert value("select count(distinct fingerprint) from questions") == 2


def test_a_question_keeps_its_own_domain_kind_and_columns(clean: Stack) -> None:
    fill([Question("May he?", "no", "legal", "boolean", {"page": 7}, 1), *additions(1)], "mixed")
    found = rows("select domain, kind, meta from questions order by id")
    assert sorted(map(tuple, found), key=str) == [("legal", "boolean", {"page": 7}), ("math", None, {})]


def test_a_job_of_either_purpose_says_so_in_its_progress(clean: Stack) -> None:
    fill(additions(1), "teaching")
    fill(additions(1), "measuring", purpose="evaluate")
    found = rows("select job, purpose, questions, pending from job_progress order by job")
    assert [tuple(row) for row in found] == [("measuring", "evaluate", 1, 1), ("teaching", "teach", 1, 1)]


def test_bad_rows_are_reported_and_the_good_ones_around_them_are_kept(clean: Stack, tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text('{"question": "1 + 1?", "gold": "2"}\n{"question": \n{"gold": "4"}\n{"question": "3 + 3?"}\n')
    done = enqueue(open_source(str(file), mapping={}), job_spec("sums"), dataset="sums", domain="math")
    assert (done.read, done.new, done.bad) == (2, 2, 2)
    assert [problem.where for problem in done.problems] == [f"{file}:2", f"{file}:3"]
    assert states("sums") == {"pending": 2}


def test_only_the_first_twenty_bad_rows_are_kept_but_all_are_counted(clean: Stack) -> None:
    done = fill([*(Problem(f"file:{n}", "unreadable") for n in range(50)), *additions(1)], "sums")
    assert (len(done.problems), done.bad, done.read) == (20, 50, 1)


def test_text_that_postgres_cannot_store_does_not_stop_the_others(clean: Stack, tmp_path: Path) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text('{"question": "zero \\u0000 byte"}\n{"question": "half \\ud800 pair"}\n{"question": "1 + 1?"}\n')
    done = enqueue(open_source(str(file), mapping={}), job_spec("sums"), dataset="sums", domain="math")
    assert done.read + done.bad == 3
    assert value("select count(*) from questions where question = '1 + 1?'") == 1


def test_new_questions_reopen_a_job_that_was_done(clean: Stack) -> None:
    job_id = fill(additions(2), "sums").job_id
    change("update job_questions set state = 'done'")
    with transaction() as connection:
        connection.execute(Q["finish_job"], {"job_id": job_id})
    assert job_state("sums") == "done"
    fill(additions(2), "sums")
    assert job_state("sums") == "done"
    fill(additions(3), "sums")
    assert job_state("sums") == "running"
    assert states("sums") == {"done": 2, "pending": 1}
    assert value("select finished_at from jobs") is None
