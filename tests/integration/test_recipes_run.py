"""Every recipe from end to end: real vLLM, real NF4, the whole stack, with overrides for the embedded model.

A model of 135M parameters learns little from twenty questions: the tests check only that every part works.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.slow]

EMBEDDED = "\n".join(
    f"[models.{alias}.vllm]\nadapters = true\nmax_lora_rank = 32\nmax_model_len = 1024\n"
    "options = { max_logprobs = 20 }"
    for alias in ("teacher", "student", "sibling")
)
SETTINGS = f"""
[local]
generate = ["teacher", "student", "sibling"]
judge = ""
flower = false
{EMBEDDED}
"""
EXAMPLES = ROOT / "producer" / "demo_examples.jsonl"
#: A small model does not end its answers as requested.
LENIENT = ["policy.finished=false", "policy.stated=false", "max_tokens=80"]
SMALL = ["select.finished=false", "fit.max_tokens=384", "fit.batch_size=4", "evaluate.max_tokens=48"]
WORDS = "words:?size=24&seed=5"
HELD_OUT = 'evaluate.benchmarks=["words:?size=8&seed=9&split=test"]'
DEV = ['dev.benchmarks=["words:?size=8&seed=10&split=test"]', "dev.map={}", "dev.max_tokens=48", "dev.limit=7"]

Run = Callable[..., dict[str, Any]]


def of(source: str, *changes: str) -> list[str]:
    return [f"{source}.{change}" for change in changes]


def taught(*more: str) -> list[str]:
    """The questions for recipes of word problems, in place of GSM8K."""
    return [*of("teach.0", f"source={WORDS}", "map={}", *LENIENT, *more), *SMALL, HELD_OUT]


SHOWN = f"examples={EXAMPLES}"
RECIPES: dict[str, list[str]] = {
    "gsm8k-cot": taught(SHOWN),
    "gsm8k-stepwise": taught(SHOWN, "policy.steps=0", "policy.equations=false"),
    "gsm8k-orca": taught(SHOWN),
    "gsm8k-contrast": [*taught(SHOWN, "samples=4"), *of("teach.1", "max_tokens=80")],
    "gsm8k-logits": taught(SHOWN),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run the command line with a running stack; return its JSON output."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "tracemill.toml").write_text(SETTINGS)
    ours = {"TRACEMILL_DATA_DIR": str(folder / "data"), "TRACEMILL_CONFIG": str(folder / "tracemill.toml")}

    def run(*words: str | Path, changes: list[str] | None = None) -> dict[str, Any]:
        changed = [part for change in changes or () for part in ("--set", change)]
        command = [sys.executable, "-m", "cli", *map(str, words), *changed]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | ours, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout)) if "--json" in words else {}

    try:
        run("up")
        yield run
    finally:
        run("down")


def recipe(name: str) -> Path:
    return ROOT / "recipes" / f"{name}.toml"


def check(result: dict[str, Any]) -> None:
    """Check that the round has examples and an adapter and was measured before and after."""
    assert result["state"] == "done"
    assert result["metrics"]["examples"] > 0
    assert (Path(result["adapter_path"]) / "adapter_model.safetensors").is_file()
    assert {row["stage"] for row in result["evaluations"]} == {"before", "after"}
    assert all(row["questions"] > 0 for row in result["evaluations"])


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "gsm8k-cot"])
def test_a_recipe_runs_from_its_questions_to_its_evaluation(run: Run, name: str) -> None:
    check(run("train", recipe(name), "--json", changes=RECIPES[name]))


def test_a_recipe_runs_with_its_control_arm_and_is_reported(run: Run, tmp_path: Path) -> None:
    result = run("train", recipe("gsm8k-cot"), "--control", "--json", changes=RECIPES["gsm8k-cot"])
    check(result)
    check(result["control"])
    assert {path.name for path in Path(result["adapter_path"]).parent.glob("epoch-*")} >= {"epoch-1", "epoch-4"}
    compared = run("rounds", "compare", "gsm8k-cot-control", "gsm8k-cot", "--json")
    assert [row["questions"] for row in compared["benchmarks"]] == [8]
    page = tmp_path / "report.html"
    run("report", "gsm8k-cot", "-o", page)
    text = page.read_text()
    assert "gsm8k-cot-control" in text
    assert text.count("<svg") >= 3
    # The next command finds it done and trains nothing.
    again = run("train", recipe("gsm8k-cot"), "--json", changes=RECIPES["gsm8k-cot"])
    assert again["adapter_path"] == result["adapter_path"]
    assert again["finished_at"] == result["finished_at"]


def test_a_round_asks_for_programs_and_learns_from_them(run: Run, tmp_path: Path) -> None:
    def task(name: str, sign: str) -> dict[str, Any]:
        return {
            "text": f"Write a Python function {name}(a, b) that returns a {sign} b.",
            "test_list": [f"assert {name}(7, 3) == {7 - 3 if sign == '-' else 7 + 3}"],
        }

    file, held_out = tmp_path / "tasks.jsonl", tmp_path / "held-out-tasks.jsonl"
    file.write_text("\n".join(json.dumps(task(f"{word}_{n}", s)) for n, word in enumerate("fghk") for s in "+-"))
    held_out.write_text(json.dumps(task("sum_of_two", "+")))
    # A model of this size rarely writes a right program, so it learns from right and wrong ones.
    changes = of("teach.0", f"source={file}", "max_tokens=120", "policy.finished=false")
    changes += [*SMALL, f'evaluate.benchmarks=["{held_out}"]', "select.accepted=any", "select.near_duplicates=1"]
    check(run("train", recipe("mbpp-code"), "--json", changes=changes))


def test_multiple_choice_is_learnt_from(run: Run, tmp_path: Path) -> None:
    def row(n: int) -> dict[str, Any]:
        return {
            "question": f"Which of these numbers is {n} + 1?",
            "answerKey": "AB"[n % 2],
            "choices": {"text": [str(n + 1 + n % 2), str(n + 2 - n % 2)], "label": ["A", "B"]},
        }

    file, held_out = tmp_path / "choices.jsonl", tmp_path / "held-out-choices.jsonl"
    file.write_text("\n".join(json.dumps(row(n)) for n in range(16)))
    held_out.write_text("\n".join(json.dumps(row(n)) for n in range(50, 54)))
    changes = of("teach.0", f"source={file}", "max_tokens=80", "policy.finished=false", "policy.stated=false")
    check(
        run("train", recipe("arc-choice"), "--json", changes=[*changes, *SMALL, f'evaluate.benchmarks=["{held_out}"]'])
    )


def test_a_student_teaches_itself(run: Run) -> None:
    changes = [*of("attempt", f"source={WORDS}", "map={}", *LENIENT, "policy.grounded=false", SHOWN)]
    done = run(
        "loop", recipe("gsm8k-star"), "--json", changes=[*changes, *SMALL, HELD_OUT, *DEV, "rounds=2", "plateau=-1"]
    )
    assert [row["round"] for row in done["rounds"]] == ["gsm8k-star-1", "gsm8k-star-2"]
    assert all(row["examples"] > 0 for row in done["rounds"])
    for row in done["rounds"]:
        check(run("rounds", "show", row["round"], "--json"))
