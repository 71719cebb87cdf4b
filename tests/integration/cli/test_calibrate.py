"""`tracemill calibrate` stores its results in Postgres, and reads the verdicts of jobs."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner, Result

from cli.main import app
from db.calibrations import latest
from tests.conftest import forget
from tests.integration.factory import Processes, change, rows, value, wait_until
from tests.integration.judged import judged_job
from tests.scripted_server import ScriptedServer
from tracemill.errors import EngineError, StackError, UsageError
from tracemill.policy import Policy
from tracemill.stack import Stack
from tracemill.statistics import share
from tracemill.verification.calibration import why_not
from workers import rating

pytestmark = pytest.mark.integration


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["calibrate", "--judge", "referee", *map(str, words)])


@pytest.fixture
def judge(clean: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ScriptedServer]:
    """A scripted judge with the alias `referee`. It has no calibration."""

    def belief(prompt: str) -> dict[str, float]:
        p = float(re.findall(r"p=(\d\.\d+)", prompt)[0])
        return {"Yes": math.log(p), "No": math.log(1 - p)}

    with ScriptedServer(first_words=belief) as server:
        config = tmp_path / "tracemill.toml"
        model = f'engine = "openai"\nopenai.base_url = "{server.base_url}"\n'
        config.write_text(
            f'[models.referee]\nmodel = "scripted"\n{model}[models.other]\nmodel = "another"\n{model}'
            f'[local]\ngenerate = []\njudge = "referee"\n'
        )
        monkeypatch.setenv("TRACEMILL_CONFIG", str(config))
        forget()
        change("truncate calibrations restart identity")
        yield server
    forget()


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Fifteen right and fifteen wrong sums. The judge scores the right ones higher, except for three of them."""
    lines = []
    for n in range(30):
        right = n % 2 == 0
        p = 0.6 + n / 100 if right and n not in (4, 14, 24) else 0.4 - n / 100
        result = n + 1 if right else n + 2
        lines.append({"question": f"What is {n} + 1? p={p:.2f}", "trace": f"The answer is {result}.", "gold": n + 1})
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_calibration_is_stored_and_read_back(judge: ScriptedServer, labelled: Path) -> None:
    done = run(labelled, "--signals", "rating,coherence", "--json")
    assert done.exit_code == 0, done.stderr
    printed = {signal["signal"]: signal for signal in json.loads(done.stdout)["signals"]}
    stored = latest("referee", "scripted")
    assert set(stored) == set(printed) == {"rating", "coherence"}
    rating = stored["rating"]
    assert rating.auc == pytest.approx(tuple(printed["rating"]["auc"].values()), abs=1e-6)
    # 12 right traces score above all 15 wrong ones, the other three above 13, 8 and 3 of them.
    assert rating.auc.value == pytest.approx(204 / 225)
    assert rating.agreement == pytest.approx(tuple(printed["rating"]["agreement"].values()), abs=1e-6)
    assert rating.agreement == pytest.approx(share(27, 30), abs=1e-6)
    assert (rating.n_right, rating.n_wrong) == (15, 15)
    assert [asdict(b) | {"share": b.share._asdict()} for b in rating.bins] == printed["rating"]["bins"]
    # The three exceptions score 0.16, 0.26 and 0.36; the two lowest of the others come after the fifteen wrong ones.
    assert [(b.count, b.right) for b in rating.bins] == [(10, 2), (10, 3), (10, 10)]
    assert why_not(rating, 0.5) is None
    # A trace with a single step counts as coherent.
    assert why_not(stored["coherence"], 0.5) == "AUC 0.50 [0.31, 0.69] is not above 0.5"
    assert value("select source from calibrations limit 1") == str(labelled)


def test_a_calibration_without_a_terminal_prints_lines_of_progress(
    judge: ScriptedServer, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.calibrate.LINE_SECONDS", 0)
    done = run(labelled, "--signals", "rating", "--no-store")
    assert "referee has rated 1 of 30 traces\n" in done.stderr
    assert "referee has rated 30 of 30 traces\n" in done.stderr
    assert "rated" not in done.stdout


def test_a_calibration_counts_for_its_alias_and_model_only(judge: ScriptedServer, labelled: Path) -> None:
    run(labelled, "--signals", "rating")
    assert latest("referee", "another") == {}
    assert latest("other", "scripted") == {}


def test_the_newest_calibration_of_each_signal_counts(judge: ScriptedServer, labelled: Path) -> None:
    run(labelled, "--signals", "rating,coherence")
    run(labelled, "--signals", "rating", "--limit", "22")
    stored = latest("referee", "scripted")
    assert (stored["rating"].n_right, stored["coherence"].n_right) == (11, 15)
    assert value("select count(*) from calibrations") == 3


def test_no_store_stores_nothing(judge: ScriptedServer, labelled: Path) -> None:
    assert run(labelled, "--signals", "rating", "--no-store").exit_code == 0
    assert latest("referee", "scripted") == {}


@pytest.fixture
def worker(judge: ScriptedServer, tmp_path: Path) -> Iterator[Processes]:
    """A running worker that serves the judge, and settings under which no other process reaches the judge."""
    config = tmp_path / "tracemill.toml"
    settings_of_worker = tmp_path / "worker.toml"
    settings_of_worker.write_text(config.read_text())
    config.write_text(config.read_text().replace(judge.base_url, "http://127.0.0.1:9/v1"))
    forget()
    processes = Processes(tmp_path, {"TRACEMILL_CONFIG": str(settings_of_worker)})
    change("delete from processes")
    yield processes
    processes.stop_all()


@pytest.mark.parametrize("words", [["verify", "--judge"], ["generate", "--model"], ["generate", "--judge"]])
def test_a_running_worker_that_serves_the_judge_rates_the_traces(
    worker: Processes, labelled: Path, words: list[str]
) -> None:
    others = ["--model", "other"] if words == ["generate", "--judge"] else []
    worker.start("worker", "worker", *words, "referee", *others)
    wait_until(lambda: value("select count(*) from processes where concurrency > 0"), 60)
    done = run(labelled, "--signals", "rating,coherence", "--json")
    assert done.exit_code == 0, done.stderr
    assert latest("referee", "scripted")["rating"].auc.value == pytest.approx(204 / 225)


def test_a_worker_with_another_model_of_that_name_rates_nothing(
    worker: Processes, labelled: Path, tmp_path: Path
) -> None:
    worker.start("worker", "worker", "verify", "--judge", "referee")
    wait_until(lambda: value("select count(*) from processes where concurrency > 0"), 60)
    config = tmp_path / "tracemill.toml"
    config.write_text(config.read_text().replace('"scripted"', '"newer"'))
    forget()
    done = run(labelled, "--signals", "rating")
    assert isinstance(done.exception, EngineError)
    assert str(done.exception) == (
        "the running worker serves scripted as referee, and the settings now name newer: restart the worker"
    )
    assert latest("referee", "newer") == {}


def test_a_calibration_fails_when_its_worker_ends(
    worker: Processes, judge: ScriptedServer, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.start("worker", "worker", "verify", "--judge", "referee")
    wait_until(lambda: value("select count(*) from processes where concurrency > 0"), 60)
    worker.kill("worker")
    sent = rating.send

    def send_and_forget_the_worker(*arguments: Any) -> bool:
        is_sent = sent(*arguments)
        change("delete from processes")  # as after 30 seconds without a heartbeat
        return is_sent

    monkeypatch.setattr(rating, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(rating, "send", send_and_forget_the_worker)
    done = run(labelled, "--signals", "rating")
    assert isinstance(done.exception, StackError)
    assert str(done.exception).endswith(" ended before it rated every trace: run the same command again, it continues")


def test_a_jobs_verdicts_calibrate_its_judge_without_a_request(judge: ScriptedServer) -> None:
    judged_job("sums", 12, 14, Policy(judge="referee", judge_refused=True))
    done = run("--job", "sums", "--json")
    assert done.exit_code == 0, done.stderr
    (signal,) = json.loads(done.stdout)["signals"]
    assert (signal["signal"], signal["n_right"], signal["n_wrong"], signal["auc"]["value"]) == ("rating", 12, 14, 1.0)
    assert latest("referee", "scripted")["rating"].auc.value == 1.0
    assert value("select source from calibrations") == "job sums"
    assert not judge.requests


def test_a_calibration_reads_a_job_at_the_address_of_the_reader(
    judge: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged_job("sums", 12, 14, Policy(judge="referee", judge_refused=True))
    monkeypatch.setenv("TRACEMILL_READER_URL", "postgresql://tracemill_reader@127.0.0.1:1/tracemill")
    forget()
    assert isinstance(run("--job", "sums").exception, OperationalError)


def test_only_verdicts_with_a_signal_and_a_symbolic_proof_count(judge: ScriptedServer) -> None:
    judged_job("sums", 15, 15, Policy(judge="referee", judge_refused=True))
    ids = [row.id for row in rows("select id from verdicts order by id")]
    change("update verdicts set correct = null where id = :id", id=ids[0])
    change("update verdicts set signals = '{}' where id = :id", id=ids[1])
    change("update verdicts set proof = 'agreement 0.93 by referee' where id = :id", id=ids[2])
    done = run("--job", "sums", "--json")
    assert [(s["n_right"], s["n_wrong"]) for s in json.loads(done.stdout)["signals"]] == [(12, 15)]


def test_a_job_with_too_few_wrong_traces_cannot_calibrate_its_judge(judge: ScriptedServer) -> None:
    judged_job("sums", 30, 3, Policy(judge="referee"))
    done = run("--job", "sums")
    assert isinstance(done.exception, UsageError)
    assert "7 more wrong" in str(done.exception)
    assert "judge_refused" in str(done.exception)
    assert latest("referee", "scripted") == {}


def test_a_job_of_another_judge_or_an_unknown_job_is_wrong_use(judge: ScriptedServer) -> None:
    judged_job("sums", 12, 12, Policy(judge="other"))
    done = run("--job", "sums")
    assert isinstance(done.exception, UsageError)
    assert "checks+other" in str(done.exception)
    done = run("--job", "none")
    assert isinstance(done.exception, UsageError)
    assert "no job 'none'. Jobs: sums" in str(done.exception)
