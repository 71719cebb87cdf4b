"""The model card of a round: how the adapter was made, and from which traces."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainer.spec import RoundSpec

#: Stands before and after what was measured.
EVALUATION = "<!-- evaluation -->"


def card(
    spec: RoundSpec,
    base: str,
    prompt_hash: str,
    sources: Sequence[Mapping[str, Any]],
    outcome: Mapping[str, Any],
) -> str:
    """The card as Markdown with the Hub's metadata. `base`: folder or hub name of the student.

    `sources`: rows of the query `round_sources`; `outcome`: as `trainer.objectives.Outcome`.
    """
    hub = base if not base.startswith("/") and base.count("/") == 1 else None
    fit = spec.fit
    head = ["---", "library_name: peft", *([f"base_model: {hub}"] if hub else []), "tags: [tracemill, lora]", "---"]
    rows = [
        f"| {source['job']} | {source['model']} | {source['method']} | {source['dataset']} | {source['role']} "
        f"| {source['examples']} | {source['tokens']} | {', '.join(source['prompts'])} |"
        for source in sources
    ]
    return "\n".join(
        [
            *head,
            f"# {spec.name}",
            "",
            f"A LoRA adapter for `{hub or spec.student}`, made by Tracemill in round `{spec.name}`.",
            "",
            "## How it was trained",
            "",
            f"- Objective `{fit.objective}`, {fit.epochs} epochs, {fit.batch_size} examples a step, peak learning rate "
            f"{fit.learning_rate:g}, seed {fit.seed}.",
            f"- LoRA of rank {fit.lora_rank}, alpha {fit.lora_alpha}, on all linear layers; the base held in "
            f"{fit.quantisation if fit.quantisation != 'none' else 'bfloat16'}.",
            f"- {outcome['examples']} examples, {outcome['tokens']} tokens an epoch; {outcome['too_long']} more were "
            f"left out as longer than {fit.max_tokens} tokens.",
            f"- Every question is asked with prompt `{prompt_hash}`.",
            "",
            "## What it was trained on",
            "",
            "| job | teacher | method | dataset | role | traces | tokens | asked with |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            "## Evaluation",
            "",
            EVALUATION,
            "Not evaluated yet.",
            EVALUATION,
            "",
            "## The round",
            "",
            "```json",
            spec.model_dump_json(indent=2),
            "```",
            "",
        ]
    )


def evaluated(card: str, measured: Sequence[Mapping[str, Any]]) -> str:
    """The card with what was measured in its place. `measured`: rows of the query `round_evaluations`."""
    if not measured:
        return card
    before, _, after = card.split(EVALUATION)
    rows = [
        f"| {row['job']} | {'yes' if row['stage'] == 'after' else 'no'} | {row['questions']} | {row['correct']} "
        f"| {100 * row['accuracy']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}] |"
        for row in measured
    ]
    head = ["| job | with the adapter | questions | correct | accuracy [95 %] |", "|---|---|---|---|---|"]
    return EVALUATION.join([before, "\n".join(["", *head, *rows, ""]), after])
