"""Enqueue against the real database: running it again completes it, and nothing is stored twice."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from db.jobs import one_prompt, open_job, stored_job
from db.queries import Q
from db.session import transaction
from producer import enqueue as enqueuing
from producer.enqueue import Enqueued, enqueue, enqueue_from
from producer.sources import Problem, Question, open_source
from tests.integration.factory import (
    Processes,
    additions,
    change,
    fill,
    job_spec,
    job_state,
    rows,
    states,
    value,
    wait_until,
)
from tracemill.errors import UsageError
from tracemill.policy import Policy
from tracemill.prompts import Prompt
from tracemill.sampling import Sampling
from tracemill.stack import Stack
from tracemill.text import content_hash

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


def test_running_a_killed_enqueue_again_completes_it(clean: Stack, tmp_path: Path) -> None:
    processes = Processes(tmp_path, {})
    words = ("enqueue", "words:?size=30000", "--name", "words")
    try:
        process = processes.start("killed", *words)
        wait_until(lambda: value("select exists (select from job_questions)"), what=processes.log("killed").read_text)
        processes.kill("killed")
        assert process.returncode == -signal.SIGKILL
        assert 0 < states("words")["pending"] < 30_000
        assert processes.start("again", *words).wait(60) == 0
    finally:
        processes.stop_all()
    assert states("words") == {"pending": 30_000}
    assert value("select count(*) from questions") == 30_000


def test_a_failed_batch_ends_the_enqueue_and_earlier_batches_are_kept(
    clean: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enqueuing, "BATCH", 10)
    broken = Question("zero \0 byte", None, None, None, {}, None)
    with pytest.raises(psycopg.DataError):
        fill([*additions(15), broken, *additions(50, first=15)], "sums")
    assert states("sums") == {"pending": 10}
    assert job_state("sums") == "filling"


def test_long_questions_are_stored_in_smaller_batches(clean: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enqueuing, "BATCH_CHARS", 1000)
    documents = [Question(f"{n} " + 498 * "x", None, None, None, {}, None) for n in range(10, 15)]
    reads: list[int] = []
    done = enqueue(
        documents, job_spec("law"), dataset="law", domain="legal", progress=lambda so_far: reads.append(so_far.read)
    )
    assert reads == [2, 4, 5]
    assert done.new == 5


def test_postgres_knows_how_large_a_job_is_as_soon_as_it_is_filled(
    clean: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enqueuing, "ANALYSE_AT", 100)
    size = "select reltuples from pg_class where relname = 'job_questions'"
    fill(additions(99), "small")
    assert value(size) == -1
    fill(additions(100), "large")
    assert value(size) == 199


def test_a_question_of_a_concurrent_enqueue_is_also_in_this_job(clean: Stack) -> None:
    with ThreadPoolExecutor(1) as pool:
        with transaction() as other:
            other.execute(
                text(
                    "insert into questions (content_hash, fingerprint, dataset, domain, question) "
                    "values (:hash, '', 'sums', 'math', '')"
                ),
                {"hash": content_hash("sums", additions(1)[0].text, additions(1)[0].gold)},
            )
            filling = pool.submit(fill, additions(3), "sums")
            wait_until(lambda: value("select exists (select from pg_locks where not granted)"))
        assert filling.result().new == 3
    assert states("sums") == {"pending": 3}
    assert value("select count(*) from questions") == 3


def test_two_enqueues_can_store_the_same_questions_in_different_orders(clean: Stack) -> None:
    change(
        "create function slowly() returns trigger language plpgsql as "
        "$$ begin perform pg_sleep(0.05); return new; end $$"
    )
    change("create trigger slowly before insert on questions for each row execute function slowly()")
    questions = additions(10)
    try:
        with ThreadPoolExecutor(2) as both:
            for done in [
                both.submit(enqueue, questions[::step], job_spec(name), dataset="sums", domain="math")
                for name, step in (("forwards", 1), ("backwards", -1))
            ]:
                assert done.result().new == 10
    finally:
        change("drop function slowly cascade")
    assert value("select count(*) from questions") == 10
    assert states("forwards") == states("backwards") == {"pending": 10}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"samples": 8}, "samples: 4, not 8"),
        ({"model": "student"}, "model: 'teacher', not 'student'"),
        ({"purpose": "evaluate"}, "purpose"),
        ({"sampling": Sampling(temperature=1.0)}, "sampling"),
        ({"policy": Policy(judge="verifier")}, "policy"),
        ({"source": "elsewhere"}, "source"),
        ({"prompts": one_prompt(Prompt(({"role": "user", "content": "Think. {question}"},)))}, "prompt"),
        ({"enough": 2}, "enough"),
    ],
)
def test_a_job_name_with_other_settings_is_refused_with_the_difference(
    clean: Stack, changes: dict[str, object], named: str
) -> None:
    fill(additions(2), "sums")
    with pytest.raises(UsageError, match=rf"job 'sums' exists with other settings \({named}"):
        fill(additions(5), "sums", **changes)
    assert states("sums") == {"pending": 2}


def test_a_question_in_two_jobs_is_one_question(clean: Stack) -> None:
    for name in ("first", "second"):
        enqueue(additions(3), job_spec(name), dataset="shared", domain="math")
    assert value("select count(*) from questions") == 3
    assert states("first") == states("second") == {"pending": 3}


def test_the_same_text_with_another_gold_or_dataset_is_another_question(clean: Stack) -> None:
    fill([Question("What is 1 + 1?", gold, None, None, {}, None) for gold in ("2", "10", None)], "sums")
    fill(additions(2, first=1), "others")
    assert value("select count(*) from questions") == 5
    assert value("select count(distinct fingerprint) from questions") == 2


def test_a_question_keeps_its_own_domain_kind_and_columns(clean: Stack) -> None:
    fill([Question("May he?", "no", "legal", "boolean", {"page": 7}, 1), *additions(1)], "mixed")
    stored = rows("select domain, kind, meta from questions order by id")
    assert sorted(map(tuple, stored), key=str) == [("legal", "boolean", {"page": 7}), ("math", None, {})]


def test_a_job_of_either_purpose_says_so_in_its_progress(clean: Stack) -> None:
    fill(additions(1), "teaching")
    fill(additions(1), "measuring", purpose="evaluate")
    stored = rows("select job, purpose, questions, pending from job_progress order by job")
    assert [tuple(row) for row in stored] == [("measuring", "evaluate", 1, 1), ("teaching", "teach", 1, 1)]


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


# The questions of another job, which may still run.

EVERY_STATE = ("pending", "queued", "running", "generated", "done", "failed")


@pytest.fixture
def first(clean: Stack) -> int:
    """A running job with two questions in each state, one without an accepted trace and one with."""
    job_id = fill(additions(12), "first").job_id
    change(
        "update job_questions set state = (cast(:states as text[]))[(question_id + 1) / 2], "
        "accepted = case when question_id % 2 = 0 then 3 else 0 end",
        states=list(EVERY_STATE),
    )
    return job_id


def copied(first: int, name: str, accepted: bool | None, limit: int | None = None) -> tuple[Enqueued, list[int]]:
    done = enqueue_from(job_spec(name, from_job_id=first, samples=2), accepted=accepted, limit=limit)
    query = "select question_id from job_questions where job_id = :job order by question_id"
    return done, [row.question_id for row in rows(query, job=done.job_id)]


def test_only_settled_questions_of_a_running_job_are_failed_or_accepted(first: int) -> None:
    assert copied(first, "failed", False)[1] == [9, 11]
    assert copied(first, "accepted", True)[1] == [10, 12]
    assert copied(first, "all", None)[1] == list(range(1, 13))
    assert rows("select distinct state, wanted, attempts from job_questions where job_id > :first", first=first) == [
        ("pending", 2, 0)
    ]
    assert {job_state(name) for name in ("failed", "accepted", "all")} == {"running"}


def test_copying_again_adds_what_was_settled_meanwhile(first: int) -> None:
    assert copied(first, "failed", False)[0].new == 2
    change("update job_questions set state = 'done' where job_id = :first and question_id in (5, 6)", first=first)
    done, questions = copied(first, "failed", False)
    assert (done.new, done.read, questions) == (1, 3, [5, 9, 11])
    assert copied(first, "failed", False)[0].new == 0


def test_a_limit_takes_the_first_questions_of_the_other_job_alone(first: int) -> None:
    fill(additions(3, first=50), "between")
    change("update job_questions set attempts = 1 where question_id in (1, 9)")  # the rows lie in another order now
    assert copied(first, "limited", None, limit=3)[1] == [1, 2, 3]
    assert copied(first, "limited failed", False, limit=1)[1] == [9]


def test_a_job_that_would_copy_nothing_is_not_opened(first: int) -> None:
    change("update job_questions set state = 'running'")
    assert copied(first, "failed", False)[0].new == 0
    assert value("select count(*) from jobs where name = 'failed'") == 0


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


def test_a_job_that_an_older_release_stored_is_resumed(clean: Stack) -> None:
    fill(additions(2), "sums")
    change("""update jobs set sampling = '{"temperature": 0.7, "max_tokens": 64}'""")
    assert fill(additions(3), "sums").new == 1


def test_a_stored_job_is_read_back_as_it_was_opened(clean: Stack) -> None:
    changes: dict[str, Any] = {
        "sampling": Sampling(0.3, 0.8, 77, ("END",), 4),
        "enough": 2,
        "batch": 1,
        "give_up": 0.2,
        "priority": 5,
    }
    policy = Policy(judge="verifier", steps=3, uninformative={"rating": "not calibrated"})
    spec = job_spec(
        "whole", purpose="evaluate", ask_as="legal", policy=policy, budget=9.0, budget_unit="tokens", **changes
    )
    with transaction() as connection:
        open_job(connection, spec)
        stored = stored_job(connection, "whole")
        assert stored_job(connection, "none") is None
    assert stored is not None
    assert asdict(stored) == asdict(spec)
