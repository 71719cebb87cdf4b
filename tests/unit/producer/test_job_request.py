"""One request, whatever it is written in: flags and TOML open the same job."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from cli import enqueue as command
from cli.main import app
from db.jobs import JobSpec
from producer.enqueue import Enqueued
from producer.job_request import JobRequest, SourceSpec, read_shots, source_name, stopping_of
from producer.opening import job_spec, tier_specs
from tests.conftest import forget
from tracemill.errors import UsageError
from tracemill.sampling import Sampling
from trainer.ask_spec import TeachSpec
from trainer.spec import parse

#: Every key of [[teach]] beside the flag that means the same.
KEYS_AND_FLAGS = [
    ("source", "sums.jsonl", "sums.jsonl"),
    ("map", {"gold": "answer"}, "--map gold=answer"),
    ("dataset", "mine", "--dataset mine"),
    ("domain", "code", "--domain code"),
    ("ask_as", "legal", "--ask-as legal"),
    ("limit", 7, "--limit 7"),
    ("samples", 9, "--samples 9"),
    ("temperature", 0.9, "--temperature 0.9"),
    ("top_p", 0.5, "--top-p 0.5"),
    ("max_tokens", 99, "--max-tokens 99"),
    ("top_k", 20, "--sampling top_k=20"),
    ("min_p", 0.1, "--sampling min_p=0.1"),
    ("presence_penalty", 1.5, "--sampling presence_penalty=1.5"),
    ("frequency_penalty", 0.5, "--sampling frequency_penalty=0.5"),
    ("repetition_penalty", 1.1, "--sampling repetition_penalty=1.1"),
    ("thinking_tokens", 64, "--sampling thinking_tokens=64"),
    ("stop", ["END"], "--sampling stop=['END']"),
    (
        "chat_template_kwargs",
        {"enable_thinking": False},
        "--sampling chat_template_kwargs.enable_thinking=false",
    ),
    ("examples", "shots.jsonl", "--examples shots.jsonl"),
    ("policy", {"judge": "verifier", "judge_share": 0.5}, "--judge verifier --judge-share 0.5"),
    ("name", "all", "--name all"),
    ("model", "student", "--model student"),
    ("method", "explain", "--method explain"),
    ("logprobs", 3, "--logprobs 3"),
    ("enough", 5, "--enough 5"),
    ("batch", 2, "--batch 2"),
    ("give_up", 0.25, "--give-up 0.25"),
    ("budget_tokens", 1000.0, "--budget-tokens 1000"),
    ("priority", 3, "--priority 3"),
    ("escalate", ["verifier"], "--escalate verifier"),
]

Opened = tuple[SourceSpec, JobSpec]


@pytest.fixture
def by_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], Opened]:
    """What `tracemill enqueue` with these flags would store; the calibrations say nothing of any judge."""
    opened: list[Opened] = []

    def store(source: SourceSpec, spec: JobSpec, *_: object, **__: object) -> Enqueued:
        opened.append((source, spec))
        return Enqueued(1, read=1)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "store_questions", store)
    monkeypatch.setattr(command, "open_tiers", lambda request, name: None)
    monkeypatch.setattr("db.calibrations.latest", lambda *_: {})
    (tmp_path / "shots.jsonl").write_text('{"question": "1 + 1?", "answer": "The answer is 2."}\n')

    def run(flags: list[str]) -> Opened:
        done = CliRunner().invoke(app, ["enqueue", *flags])
        assert done.exception is None, done.output
        return opened[-1]

    return run


def by_toml(content: dict[str, object], folder: Path) -> Opened:
    request = TeachSpec.model_validate(content).teaching_request(folder)
    return request.source, job_spec(request)


def test_every_key_of_a_teaching_job_has_its_flag() -> None:
    keys = {key for key, _, _ in KEYS_AND_FLAGS}
    assert keys == TeachSpec.model_fields.keys() - {"budget_money", "extra_body"}  # each has its own test


def test_flags_and_toml_with_all_keys_open_the_same_job(
    by_flags: Callable[[list[str]], Opened], tmp_path: Path
) -> None:
    flags = [word for _, _, flag in KEYS_AND_FLAGS for word in flag.split()]
    source, spec = by_flags(flags)
    assert by_toml({key: value for key, value, _ in KEYS_AND_FLAGS}, tmp_path) == (source, spec)
    assert (spec.priority, spec.budget, spec.budget_unit) == (3, 1000, "tokens")  # what equality leaves out
    assert (spec.enough, spec.batch, spec.most) == (5, 2, 9 * 4)
    assert spec.sampling == Sampling(
        temperature=0.9,
        top_p=0.5,
        max_tokens=99,
        stop=("END",),
        logprobs=3,
        top_k=20,
        min_p=0.1,
        presence_penalty=1.5,
        frequency_penalty=0.5,
        repetition_penalty=1.1,
        thinking_tokens=64,
        chat_template_kwargs={"enable_thinking": False},
    )
    assert set(spec.policy.uninformative) == {"rating"}  # nobody calibrated this judge


@pytest.mark.parametrize(("key", "value", "flag"), KEYS_AND_FLAGS[1:20] + KEYS_AND_FLAGS[21:24])
def test_each_key_alone_means_what_its_flag_means(
    key: str, value: object, flag: str, by_flags: Callable[[list[str]], Opened], tmp_path: Path
) -> None:
    plain = by_flags(["s.jsonl", "--name", "job"])
    changed = by_flags(["s.jsonl", "--name", "job", *flag.split()])
    assert changed != plain
    assert by_toml({"source": "s.jsonl", "name": "job", key: value}, tmp_path) == changed


def test_a_budget_in_money_is_one_key_and_one_flag(
    by_flags: Callable[[list[str]], Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEMILL_MODELS", '{"teacher": {"price_out": 2}}')
    forget()
    _, spec = by_flags(["s.jsonl", "--name", "job", "--budget-money", "0.5"])
    _, same = by_toml({"source": "s.jsonl", "name": "job", "budget_money": 0.5}, tmp_path)
    assert (spec.budget, spec.budget_unit) == (same.budget, same.budget_unit) == (0.5, "money")
    forget()


def test_a_budget_needs_the_longest_answer_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_MODELS", '{"teacher": {"engine": "openai", "model": "m"}}')
    forget()
    content = {"source": "s.jsonl", "name": "job", "budget_tokens": 1e6}
    assert by_toml(content | {"max_tokens": 4096}, Path())[1].budget == 1e6
    with pytest.raises(UsageError, match="a budget needs the longest answer"):
        by_toml(content, Path())
    monkeypatch.delenv("TRACEMILL_MODELS")
    forget()


def test_further_keys_of_a_server_are_one_key_and_one_flag_and_vllm_refuses_them(
    by_flags: Callable[[list[str]], Opened], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEMILL_MODELS", '{"teacher": {"engine": "openai", "model": "m"}}')
    forget()
    words = ["s.jsonl", "--name", "job", "--sampling", "extra_body.reasoning_effort=high"]
    content = {"source": "s.jsonl", "name": "job", "extra_body": {"reasoning_effort": "high"}}
    assert by_flags(words)[1].sampling == by_toml(content, tmp_path)[1].sampling
    assert by_flags(words)[1].sampling == Sampling(None, None, extra_body={"reasoning_effort": "high"})
    monkeypatch.delenv("TRACEMILL_MODELS")
    forget()
    with pytest.raises(UsageError, match="extra_body is for servers"):
        by_toml(content, tmp_path)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"batch": 2}, "belong to adaptive sampling"),
        ({"give_up": 0.5}, "belong to adaptive sampling"),
        ({"budget_tokens": 5, "budget_money": 5}, "a job has one budget"),
    ],
)
def test_half_a_stopping_rule_and_two_budgets_are_refused_in_toml(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        TeachSpec.model_validate({"source": "s.jsonl", "name": "job", **changes})


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--batch", "2"], "belong to adaptive sampling"),
        (["--enough", "5"], "enough = 5 is more than the 4 traces"),
        (["--budget-tokens", "5", "--budget-money", "5"], "a job has one budget"),
        (["--budget-money", "5"], "model teacher has none"),
        (["--method", "inject"], "quotes the traces of another job"),
        (["--map", "text=question"], "write OURS=THEIRS"),
        (["--model", "nobody"], "unknown model alias 'nobody'"),
        (["--sampling", "topk=5"], "--sampling: topk: there is no such key; did you mean top_k?"),
        (["--sampling", "top_k"], "--sampling top_k: write KEY=VALUE, like top_k=20"),
        (["--escalate", "nobody"], "unknown model alias 'nobody'"),
        (["--escalate", "student,teacher"], "teacher has two tiers. Name another model for each tier"),
        (["--escalate", "student", "--purpose", "evaluate"], "an evaluation measures one model"),
        (["--escalate", "student", "--max-tokens", "99", "--budget-money", "5"], "model teacher has none"),
    ],
)
def test_what_cannot_be_a_job_is_refused_before_anything_is_stored(flags: list[str], problem: str) -> None:
    done = CliRunner().invoke(app, ["enqueue", "s.jsonl", *flags])
    assert isinstance(done.exception, UsageError)
    assert problem in str(done.exception)


def test_a_next_tier_differs_only_in_its_model_and_its_questions() -> None:
    request = JobRequest(SourceSpec("sums.jsonl"), samples=2, escalate=["student", "verifier"])
    first, second, third = job_spec(request), *tier_specs(request, "sums")
    assert [(tier.name, tier.model, tier.source) for tier in (second, third)] == [
        ("sums-tier2", "student", "job:sums?escalated"),
        ("sums-tier3", "verifier", "job:sums-tier2?escalated"),
    ]
    assert (second.samples, second.prompts, second.policy) == (2, first.prompts, first.policy)


def test_a_round_learns_from_all_tiers_of_its_teaching_jobs() -> None:
    taught = {"name": "sums", "source": "sums.jsonl", "escalate": ["verifier"]}
    spec = parse({"name": "r1", "teach": [taught], "evaluate": {"benchmarks": ["gsm8k"]}}, "round.toml")
    assert spec.select.jobs == spec.teach[0].job_names == ["sums", "sums-tier2"]


def test_a_job_without_a_name_is_called_after_its_source_model_and_method() -> None:
    assert job_spec(JobRequest(SourceSpec("data/sums.jsonl"))).name == "sums-teacher-cot"
    assert job_spec(JobRequest(SourceSpec("data/sums.jsonl", dataset="mine"))).name == "mine-teacher-cot"


def test_questions_stop_at_a_quarter_of_their_traces_at_a_time_by_default() -> None:
    request = JobRequest(SourceSpec("s.jsonl"), samples=16, stopping=stopping_of(2, None, 0))
    assert job_spec(request).batch == 4


def test_sources_are_named_by_their_file_or_their_scheme() -> None:
    assert source_name("hf:openai/gsm8k:main:train") == "gsm8k-main-train"
    assert source_name("gym:chain_sum?min_terms=2") == "gym-chain_sum"
    assert source_name("*.jsonl") == "questions"


def test_the_names_of_globs_in_different_folders_differ() -> None:
    assert [source_name(glob) for glob in ("easy/*.jsonl", "hard/*.jsonl", "data/hard/part-*.jsonl")] == [
        "easy",
        "hard",
        "hard-part",
    ]


def test_a_broken_line_of_worked_examples_is_named(tmp_path: Path) -> None:
    (tmp_path / "shots.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n\n{"question": "2?"}\n')
    with pytest.raises(UsageError, match=r"shots\.jsonl:3"):
        read_shots(tmp_path / "shots.jsonl")


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0, 0.9, 8, ("END",), 5)])
def test_sampling_survives_being_stored_with_its_job(sampling: Sampling) -> None:
    assert Sampling.from_json(sampling.as_json()) == sampling


def test_sampling_that_an_older_release_stored_has_the_defaults_of_later_keys() -> None:
    assert Sampling.from_json({"temperature": 0.2, "max_tokens": 64}) == Sampling(0.2, 1.0, 64)
