"""Every table of a command shows its names and figures whole in a terminal or log of 80 or of 60 columns."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli import demo_report, doctor, dry_run, health, jobs, rounds, stack, verify
from cli.calibrate import print_measured
from cli.findings import Finding
from cli.job_figures import TIER_COLUMNS, print_tiers
from cli.output import console, print_facts, print_rows, progress_console
from tracemill.methods import all_methods
from tracemill.stack.state import ProcessStatus
from tracemill.statistics import Interval, Paired
from tracemill.verification.calibration import Bin, Measured
from trainer.compare import Compared
from trainer.select.preview import Limit

JOB = "gsm8k-train-teacher-rationalize-2"
ROUND = "llama-distilled-without-filter-17"
PROCESS = "generate.4194304@gpu-worker-7f9c4d5b6-x2x9z"
COUNT = 123_456_789_012
SHARE = Interval(0.785, 0.721, 0.839)
AT = datetime(2026, 11, 29, 2, 4, 13, tzinfo=UTC)
#: Words that each table must show whole, and how it is printed.
Case = tuple[list[object], Callable[[pytest.MonkeyPatch], object]]


def row(columns: tuple[str, ...], **values: object) -> dict[str, object]:
    return dict.fromkeys(columns, COUNT) | values


def jobs_list(monkeypatch: pytest.MonkeyPatch) -> None:
    job = row(
        (*jobs.COLUMNS, "questions"), job=JOB, purpose="evaluate", state="over_budget", model="teacher-70b-instruct"
    )
    monkeypatch.setattr(jobs, "progress", lambda: [job, job])
    monkeypatch.setattr(jobs, "job_reasons", lambda rows: {})
    jobs.list_()


def jobs_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    job = row((*jobs.WATCHED, "questions", "verified", "tokens_out"), job=JOB, state="over_budget", verified=2 * COUNT)
    monkeypatch.setattr(jobs, "progress", lambda: [job, job])
    monkeypatch.setattr(jobs, "why_idle", lambda rows: [])
    monkeypatch.setattr(jobs, "useless_traces", lambda job: None)
    jobs.follow(None, out=progress_console)


def job_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = row(jobs.COSTS, variant="missing-step", domain="medical", difficulty="medium", rate=0.785, cost=1234.5)
    print_rows([costs], jobs.COSTS, title="accepted traces and their cost")


def job_tiers(monkeypatch: pytest.MonkeyPatch) -> None:
    tier = row(TIER_COLUMNS, tier=2, job=f"{JOB}-tier2", model="teacher-70b-instruct", cost_per_accepted=0.00125)
    print_tiers([tier, tier])


def job_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    print_facts({"job": JOB, "tokens_out": COUNT, "sampling": {"temperature": 0.7, "max_tokens": 2048}, "at": AT})


def rounds_list(monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"/data/rounds/{ROUND}/adapter"
    trained = row(rounds.COLUMNS, name=ROUND, state="evaluating", created_at=AT, finished_at=AT, adapter_path=path)
    print_rows([trained | {"error": None}] * 2, rounds.COLUMNS)


def rounds_show(monkeypatch: pytest.MonkeyPatch) -> None:
    by_samples = {"1": 0.785, "16": 0.923}
    measures = {"pass_at": by_samples, "majority_at": by_samples, "steps": 7.25, "faithfulness": 0.5, "coherence": -0.5}
    evaluation = {"benchmark": JOB, "stage": "before", "questions": COUNT, "correct_strict": COUNT, "tokens_out": 1e12}
    rounds.print_evaluations([{**evaluation, "accuracy": 0.785, "low": 0.721, "high": 0.839, **measures}])


def rounds_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds.print_compared([Compared(JOB, Paired(both=31_245, first=1_234, second=5_678, neither=123))], ROUND, "short")


def status(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "generate-vllm-gpu0-1"
    program = ProcessStatus(name, "RUNNING", 4_194_304, 1_234_567.0, COUNT, Path("log"), gpu="0,1", engine="vllm")
    monkeypatch.setattr(stack, "_job_sentences", list)  # sentences may be longer than the screen
    stack._print_status([program], json=False)


def health_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    about = "up to 64 at a time, from generate.teacher, generate.student"
    health.print_parts([health.Part("postgres", None), health.Part(PROCESS, None, about)])


def doctor_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    card = f"NVIDIA H100 80GB HBM3, 79.6 GiB, {COUNT} free, driver 550.54"
    advice = "in a new environment: pip install 'tracemill[gpu,stack]'"
    doctor.print_findings([Finding("GPU 0", "ok", card), Finding(f"model {JOB}", "broken", "not here", advice)])


def demo(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = ("questions", "traces", "right", "right_with_false_equation", "accepted", "tokens_out")
    teaching = row((*counts, "tokens_per_second", "tokens_per_accepted"))
    judge = {
        "rated": COUNT,
        "auc": SHARE._asdict(),
        "uninformative": None,
        "threshold": 0.5,
        "plain": (0.5, 0.5),
        "canaries": 14,
        "fooled_by": ["threat"],
    }
    shares = {"questions": COUNT, "strict": SHARE._asdict(), "lenient": SHARE._asdict()}
    accuracy = {"student before": shares, "teacher, four examples shown": shares, "student after": shares}
    seconds = {"train and evaluate after": 123_456.0}
    models = dict.fromkeys(("teacher", "student", "judge"), "Qwen2.5-Coder-0.5B-Instruct")
    figures = {
        "teaching": teaching,
        "accuracy": accuracy,
        "judge": judge,
        "seconds": seconds,
        "models": models,
        "adaptive": {"tokens_saved": COUNT},
    }
    demo_report.print_figures(figures)


def calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = ("rating", "coherence", "faithfulness")
    bins = (Bin(low=0.7, high=0.9, mean=0.8, count=2 * COUNT, right=COUNT),)
    print_measured([Measured(s, COUNT, COUNT, SHARE, SHARE, bins) for s in signals], {})  # type: ignore[arg-type]


def training_dry_run(monkeypatch: pytest.MonkeyPatch) -> None:
    selection = SimpleNamespace(
        traces=COUNT, kept=COUNT, examples=COUNT, tokens=COUNT, removed={"near_duplicates": COUNT},
        difficulties={"medium": COUNT}, labels={"choice A": COUNT}, stages=[COUNT], overlaps={"13-gram": 1},
    )  # fmt: skip
    overlap = {"rule": "13-gram", "question": "What is one and one?", "evaluation_question": "What is one and 1?"}
    preview = SimpleNamespace(
        selection=selection, tokens=COUNT, learnt_tokens=COUNT, too_long=COUNT, overlaps=[overlap],
        examples=[], seconds=3600, measured_in=ROUND, unquantised_bytes=COUNT,
        limits=[Limit("fit.max_tokens", 2048, COUNT, COUNT)],
    )  # fmt: skip
    spec = SimpleNamespace(name=ROUND, select=SimpleNamespace(jobs=[JOB]), fit=SimpleNamespace(max_tokens=2048))
    dry_run._show(spec, preview)  # type: ignore[arg-type]


def verify_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"rows": COUNT, "right": COUNT, "reasons": {"no gold answer": COUNT}, "rows_per_s": 123_456.7}
    verify.print_summary(figures)


INTERVAL = "78.5 [72.1, 83.9]"
TABLES: dict[str, Case] = {
    "jobs list": ([JOB, COUNT, "over_budget", "teacher-70b-instruct", "tokens"], jobs_list),
    "jobs watch": ([JOB, f"{COUNT} (50%)", "traces/s", "0.0"], jobs_watch),
    "costs of a job": ([COUNT, "missing-step", "accepted", "1234", "0.785"], job_costs),
    "tiers of a job": ([f"{JOB}-tier2", COUNT, "teacher-70b-instruct", "0.00125"], job_tiers),
    "facts of a job": ([JOB, COUNT, "2026-11-29 02:04:13"], job_facts),
    "rounds list": ([ROUND, "evaluating", "2026-11-29 02:04:13", "finished"], rounds_list),
    "rounds show": ([JOB, COUNT, INTERVAL, "@1 78.5 @16 92.3", "1000000000000"], rounds_show),
    "rounds compare": ([JOB, ROUND, "38280", "1234", "5678", "McNemar"], rounds_compare),
    "status": (["generate-vllm-gpu0-1", "0,1", "engine", "RUNNING", "4194304", "1234567", COUNT, "restarts"], status),
    "health": ([PROCESS, "postgres", "generate.student", "well: up to 64"], health_parts),
    "doctor": ([COUNT, JOB, "broken", "'tracemill[gpu,stack]'", "1 broken, 0 warnings"], doctor_findings),
    "demo": ([COUNT, INTERVAL, "strict:", "lenient:", "123456 s"], demo),
    "calibrate": (["faithfulness", COUNT, "0.79 [0.72, 0.84]", "calibration"], calibration),
    "train --dry-run": ([JOB, ROUND, f"{COUNT:,}", "13-gram", f"choice A {COUNT:,}"], training_dry_run),
    "verify": ([f"{COUNT:,}", "no gold answer", "123,456.7"], verify_summary),
}


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_shows_names_and_figures_whole(
    name: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in (console, progress_console):
        monkeypatch.setattr(out, "_width", width)
    words, show = TABLES[name]
    show(monkeypatch)
    text = "".join(capsys.readouterr())
    assert [word for word in words if str(word) not in text] == []
    assert "…" not in text
    sentences = ("logs: ", "Most of ", f"{JOB}: ")
    assert max(len(line) for line in text.splitlines() if not line.startswith(sentences)) <= width


@pytest.mark.parametrize("width", [None, 80, 60])
@pytest.mark.parametrize("command", ["config", "methods"])
def test_the_installed_command_fits_into_the_columns(command: str, width: int | None, tmp_path: Path) -> None:
    (tmp_path / "tracemill.toml").touch()
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    if width is not None:
        environment["COLUMNS"] = str(width)
    done = subprocess.run(
        [Path(sys.executable).with_name("tracemill"), command],
        cwd=tmp_path,
        env=environment | {"TRACEMILL_CONFIG": "tracemill.toml"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    names = {
        "config": ["generate_concurrency", "default", "feeder.running_lease_seconds"],
        "methods": list(all_methods()),
    }
    assert [name for name in names[command] if name not in done.stdout] == []
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= (width or 80)


def test_a_list_of_jobs_is_a_table_at_80_columns_without_the_optional_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_width", 80)
    job = row((*jobs.COLUMNS, "questions"), job="gsm8k-teacher-cot", purpose="teach", state="running", model="teacher")
    numbers = {"questions": 1319, "done": 12, "failed": 0, "traces": 96, "accepted": 31, "tokens_out": 27_000}
    monkeypatch.setattr(jobs, "progress", lambda: [job | numbers] * 2)
    monkeypatch.setattr(jobs, "job_reasons", lambda rows: {})
    jobs.list_()
    text = capsys.readouterr().out
    assert "│ gsm8k-teacher-cot │ running │ 12 of 1319 │      0 │     96 │       31 │" in text
    assert "tokens" not in text


@pytest.mark.parametrize("engine", ["vllm", ""])
def test_a_status_has_a_column_of_engines_only_if_a_process_has_one(
    engine: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stack, "_job_sentences", list)
    redis = ProcessStatus("redis", "RUNNING", 7, 1.0, 0, Path("log"))
    stack._print_status([redis, replace(redis, name="generate", engine=engine)], json=False)
    assert ("engine" in capsys.readouterr().out) is bool(engine)


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([], ("job", "state"))
    assert capsys.readouterr().out.endswith("no rows\n")


def test_facts_without_a_value_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"job": "sums", "budget": None, "cost": 0, "sampling": {"stop": []}})
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["job", "sums"], ["cost", "0"]]
