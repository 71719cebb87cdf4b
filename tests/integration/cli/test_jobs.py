"""`tracemill enqueue` and `tracemill jobs` with a real database."""

import json
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.installed import tracemill
from tests.integration.factory import change, job_state, states, value
from tracemill.errors import UsageError
from tracemill.stack import Stack

pytestmark = pytest.mark.integration


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.fixture
def sums(clean: Stack, tmp_path: Path) -> Path:
    """A file of three questions that is enqueued as the job `sums`."""
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(f'{{"prompt": "What is {n} + 1?", "answer": "so #### {n + 1}"}}\n' for n in range(3)))
    done = run("enqueue", str(path), "--map", "question=prompt", "--name", "sums", "--samples", "2", "--json")
    assert json.loads(done.stdout) == {"job": "sums", "questions": 3, "new": 3, "left_out": 0}
    return path


def test_enqueue_reads_the_mapped_columns(sums: Path) -> None:
    assert value("select string_agg(question || gold, ' ' order by question) from questions") == (
        "What is 0 + 1?1 What is 1 + 1?2 What is 2 + 1?3"
    )
    assert value("select samples from jobs") == 2


def test_the_same_enqueue_adds_nothing_and_a_different_one_is_refused(sums: Path) -> None:
    words = ("enqueue", str(sums), "--map", "question=prompt", "--name", "sums")
    again = run(*words, "--samples", "2")
    assert again.exit_code == 0
    assert "3 questions read, 0 new" in again.stdout
    other = run(*words, "--samples", "3")
    assert isinstance(other.exception, UsageError)
    assert "samples: 2, not 3" in str(other.exception)


@pytest.mark.parametrize(
    ("words", "difference"),
    [
        (("--map", "gold=prompt"), "map: {'question': 'prompt'}, not {'question': 'prompt', 'gold': 'prompt'}"),
        (("--domain", "legal"), "domain: 'math', not 'legal'"),
        (("--dataset", "other"), "dataset: 'sums', not 'other'"),
    ],
)
def test_a_job_is_not_resumed_with_another_reading_of_its_source(
    sums: Path, words: tuple[str, ...], difference: str
) -> None:
    command = ("enqueue", str(sums), "--map", "question=prompt", "--name", "sums", "--samples", "2")
    refused = run(*command, *words)
    assert isinstance(refused.exception, UsageError)
    assert f"job 'sums' exists with other settings ({difference}). Give the new job another --name" in str(
        refused.exception
    )
    assert value("select count(*) from questions") == 3
    change("update jobs set source_options = null")  # of an older release
    assert run(*command).exit_code == 0


def test_enqueue_names_the_questions_that_keep_an_earlier_domain(sums: Path) -> None:
    words = ("enqueue", str(sums), "--map", "question=prompt", "--name", "legal", "--domain", "legal")
    assert "3 questions of dataset sums were stored earlier with another domain or kind" in run(*words).stderr
    assert "stored earlier" not in run(*words[:-1], "math", "--name", "again").stderr
    assert "stored earlier" not in run(*words, "--name", "corrected", "--dataset", "sums-legal").stderr
    assert value("select string_agg(distinct domain, ' ') from questions") == "legal math"


def test_a_source_without_gold_answers_says_that_no_trace_can_be_accepted(clean: Stack, tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    path.write_text('{"question": "1 + 1?", "result": "2"}\n')
    ended = tracemill(tmp_path, "enqueue", str(path), "--name", "plain", **places())
    assert (ended.returncode, ended.stdout.count("\n")) == (0, 1)
    assert ended.stderr == (
        "no question has a gold answer, so no trace can be accepted. Name its column (--map gold=COLUMN) in a job with "
        "another --name, or let the samples vote: --policy FILE with `majority = 0.6`\n"
    )
    mapped = tracemill(tmp_path, "enqueue", str(path), "--name", "mapped", "--map", "gold=result", **places())
    assert "no question has a gold answer" not in mapped.stderr


def test_a_job_built_on_an_unfinished_job_says_that_questions_are_missing(sums: Path) -> None:
    change("update job_questions set state = 'done' where question_id = 1")
    words = ("enqueue", "job:sums?failed", "--name", "again")
    assert "job sums has not ended: repeat the command when it has, to add the rest" in run(*words).stderr
    change("update jobs set state = 'done' where name = 'sums'")
    assert "has not ended" not in run(*words).stderr


def places() -> dict[str, str]:
    """The variables of this test's stack."""
    return {name: value for name, value in os.environ.items() if name.startswith("TRACEMILL_")}


def test_rows_left_out_are_named_and_the_command_succeeds(clean: Stack, tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"question": "1 + 1?"}\nno json\n')
    done = run("enqueue", str(path))
    assert done.exit_code == 0
    assert "1 questions read, 1 new, 1 left out" in done.stdout
    assert "mixed.jsonl:2" in done.stderr


def test_a_source_without_a_readable_question_opens_no_job(clean: Stack, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text("no json\nneither\n")
    done = run("enqueue", str(path))
    assert isinstance(done.exception, UsageError)
    assert "broken.jsonl:1" in done.stderr
    assert value("select count(*) from jobs") == 0


def test_jobs_are_listed_and_shown_for_people_and_for_machines(sums: Path) -> None:
    (row,) = json.loads(run("jobs", "list", "--json").stdout)
    assert (row["job"], row["state"], row["questions"], row["pending"]) == ("sums", "running", 3, 3)
    shown = json.loads(run("jobs", "show", "sums", "--json").stdout)
    assert shown["policy"]["correct"] is True
    assert shown["source"] == str(sums)
    for words in (["jobs"], ["jobs", "show", "sums"]):
        assert "sums" in run(*words).stdout


def test_a_job_shows_the_cost_of_a_judge_only_if_it_has_one(sums: Path) -> None:
    assert "judge_" not in run("jobs", "show", "sums").stdout
    change("""update jobs set policy = policy || '{"judge": "verifier"}'""")
    assert re.search(r"judge_tokens_in +0", run("jobs", "show", "sums").stdout)


def test_a_job_shows_its_sampling_with_words_for_what_the_engine_decides(sums: Path) -> None:
    words = ("enqueue", str(sums), "--map", "question=prompt", "--name", "other", "--sampling", "top_k=20")
    assert run(*words).exit_code == 0
    stored = json.loads(run("jobs", "show", "other", "--json").stdout)["sampling"]
    assert stored == {"temperature": 0.7, "top_p": 1.0, "max_tokens": None, "stop": [], "top_k": 20}
    shown = run("jobs", "show", "other").stdout
    assert re.search(r"sampling\.max_tokens +the rest of the context", shown)
    assert re.search(r"sampling\.top_k +20", shown)


def test_a_job_is_paused_resumed_and_cancelled_and_nothing_else(sums: Path) -> None:
    change("update job_questions set state = 'queued' where question_id = 1")
    paused = run("jobs", "pause", "sums")
    assert paused.stdout == "sums is paused\n", paused.exception
    assert states("sums") == {"pending": 3}
    assert str(run("jobs", "pause", "sums").exception) == "job sums is already paused"
    # A message of a step that began before the pause was used up during it.
    change("update job_questions set state = 'queued' where question_id = 1")
    assert run("jobs", "resume", "sums").exit_code == 0
    assert (job_state("sums"), states("sums")) == ("running", {"pending": 3})
    assert run("jobs", "cancel", "sums").exit_code == 0
    refused = run("jobs", "resume", "sums")
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception) == ("job sums is cancelled: to go on, repeat `tracemill enqueue` with another --name")
    assert run("jobs", "watch", "sums").exit_code == 0


def test_a_cancelled_job_takes_no_questions_and_another_name_does(sums: Path) -> None:
    assert run("jobs", "cancel", "sums").exit_code == 0
    words = ("enqueue", str(sums), "--map", "question=prompt", "--samples", "2", "--name")
    refused = run(*words, "sums")
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception) == (
        "job 'sums' is cancelled: its traces are kept, and it takes no questions. To go on, repeat the command with "
        "another --name"
    )
    assert run(*words, "sums-2").exit_code == 0


def test_a_job_shows_its_errors_and_retries_its_failed_questions(sums: Path) -> None:
    change("update job_questions set state = 'failed', last_error = 'it [b]broke', attempts = 5 where question_id < 3")
    change("update job_questions set state = 'done' where question_id = 3")
    change("update jobs set state = 'done'")
    assert json.loads(run("jobs", "show", "sums", "--json").stdout)["errors"] == [
        {"questions": 2, "last_error": "it [b]broke"}
    ]
    assert "it [b]broke" in run("jobs", "show", "sums").stdout
    assert run("jobs", "retry", "sums").stdout == "sums: 2 failed questions are pending again\n"
    assert (job_state("sums"), states("sums")) == ("running", {"pending": 2, "done": 1})
    assert value("select max(attempts) from job_questions where state = 'pending'") == 0


def test_only_an_evaluation_leaves_out_its_failed_questions(sums: Path) -> None:
    refused = run("jobs", "leave-out", "sums")
    assert isinstance(refused.exception, UsageError)
    change("update jobs set purpose = 'evaluate'")
    change("update job_questions set state = 'failed' where question_id = 1")
    left_out = run("jobs", "leave-out", "sums")
    assert left_out.stdout == "sums: its evaluation leaves out failed questions (1 now)\n"
    assert value("select leaves_out_failed from jobs")


@pytest.mark.parametrize("command", ["show", "watch", "pause", "resume", "cancel", "retry", "leave-out"])
def test_an_unknown_job_is_wrong_use_and_the_known_jobs_are_named(sums: Path, command: str) -> None:
    done = run("jobs", command, "smus")
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "no job 'smus'. Jobs: sums"
