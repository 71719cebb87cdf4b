"""The gain from verification: the README demo's recipe on three selections of one teacher's traces, three seeds each.

- `equations`: right answer, in a requested form, every equation true (the demo's policy).
- `verified`: right answer, no other requirement.
- `unfiltered`: all traces.

`verified` and `unfiltered` get as many tokens of each difficulty as `equations` of the same seed (`select.like`). A
seed determines the selected traces, their order and the adapter's initial values. All students answer one held-out set.

The differences between arms are claims about recipes: their intervals are over seeds, and they are one family of tests.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.common import about, main
from benchmarks.stack import factory, scalar, wait_for_round
from db.session import transaction
from producer.demo_questions import EXAMPLES, mixed
from producer.job_request import read_shots
from producer.sources import Question
from tracemill.methods import named, prompts
from tracemill.sampling import Sampling
from tracemill.statistics import Interval, share
from tracemill.text import fingerprint
from trainer.compare import Compared, OverSeeds, Side, compare, family, over_seeds, percent, points
from trainer.spec import RoundSpec
from trainer.submit import queue_round

RESULT = Path(__file__).parent / "results" / "learning.json"
SETTINGS = """
[local]
judge = ""
flower = false
"""
SEEDS = (1, 2, 3)
#: The selection of each arm, apart from the seed. LIKE is the round of the first arm with the same seed.
LIKE = "equations-{seed}"
ARMS: dict[str, dict[str, Any]] = {
    "equations": {},
    "verified": {"accepted": "any", "correct": True, "like": LIKE},
    "unfiltered": {"accepted": "any", "like": LIKE},
}
PAIRS = (("equations", "unfiltered"), ("verified", "unfiltered"), ("equations", "verified"))
FIT = {"epochs": 3, "learning_rate": 1e-3, "batch_size": 16, "max_tokens": 192}


def measure(quick: bool) -> dict[str, float]:
    """Right answers of every arm and seed, and the differences between arms. Also written to `RESULT`."""
    training, held_out, seeds = (40, 40, SEEDS[:1]) if quick else (300, 400, SEEDS)
    run = about("learning") | {"held_out": held_out, "fit": FIT}
    with factory(SETTINGS) as running:
        taught, tested = questions(training, held_out)
        running.run(
            "test", tested, **job_fields("student", shots=False, samples=1, temperature=0.0, purpose="evaluate")
        )
        running.run(
            "teacher", tested, **job_fields("teacher", shots=True, samples=1, temperature=0.0, purpose="evaluate")
        )
        seconds = running.run("teach", taught, **job_fields("teacher", shots=True, samples=8, temperature=0.7))
        accepted = scalar("select accepted from job_progress where job = 'teach'")
        print(f"{accepted} of {8 * len(taught)} traces accepted, {seconds:.0f} s", flush=True)
        arms = {arm: {str(seed): _train(arm, seed) for seed in seeds} for arm in ARMS}
        results = {
            "before": right("test"),
            "teacher": right("teacher"),
            "arms": arms,
            "differences": _differences(seeds),
        }
    if not quick:
        RESULT.parent.mkdir(exist_ok=True)
        content = json.dumps(run | results, indent=1, ensure_ascii=False)
        RESULT.write_text(content + "\n", encoding="utf-8")
    return figures(results)


def questions(training: int, held_out: int) -> tuple[list[Question], list[Question]]:
    """Training and held-out questions without a common text: sums and word problems in turn."""
    tested = list(mixed(held_out, seed=11, split="test"))
    known = {fingerprint(question.text) for question in tested}
    return list(mixed(training, seed=12, split="train", known=known)), tested


def job_fields(model: str, *, shots: bool, samples: int, temperature: float, purpose: str = "teach") -> dict[str, Any]:
    """Fields of a job with the embedded model."""
    return {
        "model": model,
        "prompts": prompts(named("cot"), read_shots(EXAMPLES if shots else None)),
        "samples": samples,
        "purpose": purpose,
        "sampling": Sampling(temperature=temperature, max_tokens=80),
    }


def _train(arm: str, seed: int) -> dict[str, Any]:
    name = f"{arm}-{seed}"
    choice = {key: LIKE.format(seed=seed) if value == LIKE else value for key, value in ARMS[arm].items()}
    spec = {
        "name": name,
        "select": {"jobs": ["teach"], "max_per_question": 4, "seed": seed, **choice},
        "fit": FIT | {"seed": seed},
        "evaluate": {"jobs": ["test"]},
    }
    queue_round(RoundSpec.model_validate(spec))
    wait_for_round(name)
    metrics = scalar("select metrics from rounds where name = :name", name=name)
    accuracy = right(f"{name}/test")
    print(f"{name}: {percent(Interval(*accuracy.values()))} % right, {metrics['examples']} examples", flush=True)
    return accuracy | {key: round(metrics[key]) for key in ("examples", "tokens", "seconds")}


def right(job: str) -> dict[str, float]:
    """The share of a job's questions with a right first answer, and its interval."""
    number, correct = scalar("select json_build_array(questions, correct) from job_progress where job = :job", job=job)
    interval = share(correct, number)
    return {"accuracy": interval.value, "low": interval.low, "high": interval.high}


def _differences(seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """First arm minus second, for each pair of arms."""
    with transaction() as connection:
        by_pair = [
            [compare(connection, Side(f"{second}-{seed}"), Side(f"{first}-{seed}")) for seed in seeds]
            for first, second in PAIRS
        ]
    return differences([[compared for (compared,) in pairs] for pairs in by_pair])


def differences(by_pair: Sequence[Sequence[Compared]]) -> dict[str, dict[str, Any]]:
    """The mean differences of `PAIRS` from the comparisons of each seed, with Student's interval over seeds.

    One seed has no interval and no test.
    """
    results = family([over_seeds([[compared] for compared in pairs])[0] for pairs in by_pair])
    rows = zip(PAIRS, results, by_pair, strict=True)
    return {f"{first}_minus_{second}": _row(result, pairs) for (first, second), result, pairs in rows}


def _row(result: OverSeeds, pairs: Sequence[Compared]) -> dict[str, Any]:
    row: dict[str, Any] = {"value": fmean(result.differences)}
    if result.difference is not None:
        row |= {"low": result.difference.low, "high": result.difference.high, "over": f"{len(pairs)} seeds"}
        row |= {"p": result.p, "p_holm": result.p_holm}
    return row | {"by_seed_over_questions": [points(compared.difference) for compared in pairs]}


def figures(results: dict[str, Any]) -> dict[str, float]:
    """The results as flat numbers."""
    flat = {f"{name}_{key}": value for name in ("before", "teacher") for key, value in results[name].items()}
    for arm, seeds in results["arms"].items():
        for seed, row in seeds.items():
            flat |= {f"{arm}_{seed}_{key}": row[key] for key in ("accuracy", "low", "high")}
    for pair, row in results["differences"].items():
        flat |= {f"{pair}_{key}": row[key] for key in ("value", "low", "high", "p", "p_holm") if key in row}
    return flat


if __name__ == "__main__":
    main("learning", measure)
