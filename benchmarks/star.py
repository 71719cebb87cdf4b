"""A student that teaches itself: STaR with and without rationalisation, and one round of the same size.

- `star`: three rounds. Failed questions are asked again with the gold answer as a hint.
- `plain`: three rounds without hints.
- `once`: one round with as many samples of the base model as three rounds have. It learns as many tokens of each
  difficulty as the last round of `star`, if there are enough.

All start from the base model and answer the same held-out questions. `make nightly` runs it.
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.common import about, main
from benchmarks.learning import SETTINGS, job_fields, questions, right
from benchmarks.stack import factory, scalar, wait_for_job, wait_for_round
from producer.demo_questions import EXAMPLES
from producer.opening import open_request
from producer.sources import Question
from trainer.loop import LoopSpec, round_name, round_of
from trainer.loops import open_loop
from trainer.submit import queue_round

RESULT = Path(__file__).parent / "results" / "star.json"
ROUNDS = 3
#: Many questions, few samples: with half the questions and twice the samples `star` learnt less (README.md).
ATTEMPT = {"samples": 4, "temperature": 0.7, "max_tokens": 80, "examples": EXAMPLES.name}
#: No skipped steps: so small a model that learns to add three numbers at once is nearly always wrong.
SELECT = {"max_per_question": 1, "at_most": {"equations_compound": 0, "unused": 0}}
FIT = {"epochs": 3, "learning_rate": 1e-3, "batch_size": 8, "max_tokens": 192}


def measure(quick: bool) -> dict[str, float]:
    """Accuracy by arm and round. Also written to `RESULT` after every arm."""
    training, held_out, rounds = (40, 40, 2) if quick else (800, 400, ROUNDS)
    run = about("star") | {"training": training, "held_out": held_out}
    with factory(SETTINGS) as running:
        taught, tested = questions(training, held_out)
        file = _written(running.folder.parent / "train.jsonl", taught)
        running.run(
            "test", tested, **job_fields("student", shots=False, samples=1, temperature=0.0, purpose="evaluate")
        )
        before = right("test")
        print(f"before: {100 * before['accuracy']:.1f} % right", flush=True)
        arms: dict[str, list[dict[str, Any]]] = {}
        for arm in ("star", "plain", "once"):
            arms[arm] = _once(file, rounds) if arm == "once" else _loop(arm, file, rounds, hints=arm == "star")
            if not quick:
                RESULT.parent.mkdir(exist_ok=True)
                content = json.dumps(run | {"before": before, "arms": arms}, indent=1)
                RESULT.write_text(content + "\n", encoding="utf-8")
    flat = {f"before_{key}": before[key] for key in ("accuracy", "low", "high")}
    for arm, results in arms.items():
        for number, row in enumerate(results, start=1):
            flat |= {f"{arm}_{number}_{key}": row[key] for key in ("accuracy", "low", "high", "examples")}
    return flat


def _written(file: Path, taught: list[Question]) -> Path:
    file.write_text("\n".join(json.dumps({"question": each.text, "gold": each.gold}) for each in taught))
    return file


def _spec(name: str, file: Path, rounds: int, **changes: Any) -> LoopSpec:
    """A loop without a dev set: all its rounds run."""
    return LoopSpec.model_validate(
        {
            "name": name,
            "rounds": rounds,
            "attempt": ATTEMPT | {"source": str(file)},
            "select": SELECT,
            "fit": FIT,
            "evaluate": {"jobs": ["test"]},
        }
        | changes
    )


def _loop(name: str, file: Path, rounds: int, *, hints: bool) -> list[dict[str, Any]]:
    changes = {"rationalize": {"samples": 4}} if hints else {}
    open_loop(_spec(name, file, rounds, **changes), EXAMPLES.parent)
    results = []
    for number in range(1, rounds + 1):
        wait_for_round(round_name(name, number))
        results.append(_result(round_name(name, number)))
    return results


def _once(file: Path, rounds: int) -> list[dict[str, Any]]:
    # The first part of the samples are the base model's attempts of the first round of `star`.
    spec = _spec("once", file, 1, select=SELECT | {"max_per_question": 0, "like": f"star-{rounds}"})
    ask = spec.attempt.model_copy(update={"samples": (rounds - 1) * spec.attempt.samples})
    open_request(ask.request("once-attempt", "student", shots=ask.shots(EXAMPLES.parent)))
    wait_for_job("once-attempt")
    queue_round(round_of(spec, 1, ["star-1-attempt", "once-attempt"]))
    wait_for_round("once-1")
    return [_result("once-1")]


def _result(name: str) -> dict[str, Any]:
    accuracy = right(f"{name}/test")
    examples = scalar(
        "select count(*) from examples e join rounds r on r.id = e.round_id where r.name = :name", name=name
    )
    print(f"{name}: {100 * accuracy['accuracy']:.1f} % right, {examples} examples", flush=True)
    return accuracy | {"examples": examples}


if __name__ == "__main__":
    main("star", measure)
