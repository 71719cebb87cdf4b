"""`tracemill train ROUND.toml --dry-run`: show the training set of a round. Nothing is queued or stored."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from cli.output import console, print_json, print_rows, progress_bar

if TYPE_CHECKING:
    from db.jobs import JobSpec
    from trainer.select.preview import Preview
    from trainer.spec import EvaluateSpec, RoundSpec

#: A description of the removed traces, by filter.
FILTERS = {
    "negative": "of jobs that ask for wrong reasoning (only preference pairs use them)",
    "domains": "of another domain",
    "datasets": "of another dataset",
    "since": "older than `since`",
    "until": "not older than `until`",
    "answer_text": "without an answer after its thoughts",
    "finished": "cut off at the longest answer",
    "unverified": "without a verdict yet",
    "accepted": "not as `accepted` asks",
    "correct": "not as `correct` asks",
    "concludes": "not as `concludes` asks",
    "methods": "of another method",
    "models": "of another model",
    "logprobs": "without log-probabilities",
    "overlapping": "whose question overlaps one of an evaluation",
    "repeated": "the same text for the same question again",
    "near_duplicates": "nearly the same as another",
    "unpaired": "without a partner for a pair",
    "max_per_question": "more than `max_per_question`: `prefer` decides which",
    "balance": "more of its difficulty than `balance` allows",
    "label_balance": "more of its answer than `label_balance` allows",
    "max_tokens": "longer than `fit.max_tokens`, so not among the tokens of `like`",
    "like": "more tokens of its difficulty than the round `like`",
    "tokens": "above `tokens`",
    "limit": "above `limit`",
}


def dry_run(spec: "RoundSpec", json: bool) -> None:
    """Print the round's training set as tables or JSON. Raises the errors of queueing and selecting."""
    from trainer.select.preview import preview

    with progress_bar() as bar:
        task = bar.add_task("selecting", total=None)
        result = preview(spec, lambda done, of: bar.update(task, description="rendering", completed=done, total=of))
    if json:
        print_json({"round": spec.name, **asdict(result)})
    else:
        _show(spec, result)


def _show(spec: "RoundSpec", result: "Preview") -> None:
    selection = result.selection
    counts = [{"traces": selection.traces, "": f"of {', '.join(spec.select.jobs)}"}]
    counts += [
        {"traces": -taken, "": FILTERS.get(name, f"outside {name}")} for name, taken in selection.removed.items()
    ]
    counts.append({"traces": selection.kept, "": "chosen"})
    print_rows(counts, ("traces", ""), title=f"{spec.name}: what it would train on")
    totals = {
        "examples" if selection.kept == selection.examples else "pairs": f"{selection.examples:,}",
        "by difficulty": ", ".join(f"{name} {count:,}" for name, count in sorted(selection.difficulties.items())),
        "by answer": ", ".join(f"{name} {count:,}" for name, count in selection.labels.items()),
        "by stage": ", ".join(f"{count:,}" for count in selection.stages),
        "tokens written by the teacher": f"{selection.tokens:,}",
        "tokens of the student, an epoch": f"{result.tokens:,}, of which it learns {result.learnt_tokens:,}",
        "expected training time": _time(result),
    }
    if result.unquantised_bytes:
        held = f"{result.unquantised_bytes / 2**30:,.1f} GiB: bitsandbytes quantises linear layers only"
        totals["experts that stay in bfloat16, without an adapter"] = held
    print_rows([{"": name, "value": value} for name, value in totals.items() if value], ("", "value"))
    if result.limits:
        rows = [
            {
                "left out": limit.rows,
                "limit": limit.limit,
                "is": limit.value or "the context",
                "enough": limit.enough or "not known",
            }
            for limit in result.limits
        ]
        print_rows(rows, ("left out", "limit", "is", "enough"), title="Left out by a limit of tokens: raise it")
    if result.overlaps:
        title = "Left out: " + ", ".join(f"{count} {rule}" for rule, count in sorted(selection.overlaps.items()))
        print_rows(result.overlaps[:5], ("rule", "question", "evaluation_question"), title=title)
    for example in result.examples:
        console.rule(f"trace {example.trace_id}, {example.role}, stage {example.stage}", align="left")
        for part in example.parts:
            console.print(Text("[learnt]" if part.learnt else "[read]", style="bold"))
            console.print(Text(part.text, style="green" if part.learnt else ""), soft_wrap=True)


def _time(result: "Preview") -> str:
    if result.seconds is None:
        return "not known: no round of this student with this objective was fitted yet"
    minutes, seconds = divmod(round(result.seconds), 60)
    return f"about {minutes} min {seconds:02} s, at the pace of round {result.measured_in}"


def show_plan(
    jobs: "Sequence[JobSpec]", evaluate: "EvaluateSpec", json: bool, dev: "EvaluateSpec | None" = None
) -> None:
    """Print the first jobs, the evaluations, and the dev set."""
    rows = [
        {"job": job.name, "source": job.source, "model": job.model, "method": job.method, "traces a question": job.most}
        for job in jobs
    ]
    measured = [*evaluate.jobs, *evaluate.benchmarks]
    deciding = [*dev.jobs, *dev.benchmarks] if dev is not None else []
    if json:
        print_json({"teach": rows, "evaluate": measured} | ({"dev": deciding} if deciding else {}))
        return
    print_rows(rows, list(rows[0]), title="Not asked yet: these jobs come first")
    console.print(f"Measured before and after: {', '.join(measured)}", markup=False)
    if deciding:
        console.print(f"Measured to choose by, not reported: {', '.join(deciding)}", markup=False)
