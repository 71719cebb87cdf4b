"""A round on a model hub: its model card, and the upload of its adapter and merged model."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db.queries import Q
from db.session import transaction
from tracemill.errors import TracemillError, UsageError, reason_of
from trainer.fit_settings import FitSettings
from trainer.spec import RoundSpec

TOKEN = "HF_TOKEN"
#: Marks the begin and the end of the measurements in a card.
EVALUATION = "<!-- evaluation -->"


def card(
    spec: RoundSpec,
    base: str,
    prompt_hash: str,
    sources: Sequence[Mapping[str, Any]],
    outcome: Mapping[str, Any],
) -> str:
    """The card as Markdown with the hub's metadata. `base`: folder or hub name of the student.

    `sources`: rows of the query `round_sources`; `outcome`: the fields of `trainer.objectives.Outcome`.
    """
    hub_name = base if not base.startswith("/") and base.count("/") == 1 else None
    fit = spec.fit
    metadata = [
        "---",
        f"library_name: {'peft' if fit.tuning == 'lora' else 'transformers'}",
        *([f"base_model: {hub_name}"] if hub_name else []),
        f"tags: [tracemill, {fit.tuning}]",
        "---",
    ]
    rows = [
        f"| {source['job']} | {source['model']} | {source['method']} | {source['dataset']} | {source['role']} "
        f"| {source['examples']} | {source['tokens']} | {', '.join(source['prompts'])} |"
        for source in sources
    ]
    return "\n".join(
        [
            *metadata,
            f"# {spec.name}",
            "",
            f"{'A LoRA adapter for' if fit.tuning == 'lora' else 'A fine-tuned'} `{hub_name or spec.student}`, made by "
            f"Tracemill in round `{spec.name}`.",
            "",
            "## How it was trained",
            "",
            f"- Objective `{fit.objective}`, {fit.epochs} epochs, {fit.batch_size} examples a step, peak learning rate "
            f"{fit.learning_rate:g}, seed {fit.seed}.",
            _trained(fit),
            f"- {outcome['examples']} examples, {outcome['tokens']} tokens an epoch; {outcome['too_long']} more were "
            f"left out as too long{f' (more than {fit.max_tokens} tokens)' if fit.max_tokens else ''}.",
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


def _trained(fit: FitSettings) -> str:
    if fit.tuning == "full":
        return "- All weights, held in float32 and saved in bfloat16."
    base = fit.quantisation if fit.quantisation != "none" else "bfloat16"
    return f"- LoRA of rank {fit.lora_rank}, alpha {fit.lora_alpha}, on all linear layers; the base held in {base}."


def merged_card(card: str) -> str:
    """The card of the merged model, without figures: its weights differ from those of the evaluation.

    The evaluation serves the adapter beside the base model as it is. The merged model has the base model's weights as
    the fit had them, quantised and converted back.
    """
    card = card.replace("library_name: peft", "library_name: transformers").replace("lora]", "merged]")
    card = card.replace("A LoRA adapter for", "With its LoRA adapter merged in:")
    before, _, after = card.split(EVALUATION)
    note = (
        "These merged weights were not evaluated. The round measured its adapter beside the base model as it is, not "
        "as the fit had it in memory."
    )
    return before + note + after


def evaluated(card: str, measured: Sequence[Mapping[str, Any]]) -> str:
    """The card with the measurements. `measured`: rows of the query `round_evaluations`."""
    if not measured:
        return card
    before, _, after = card.split(EVALUATION)
    rows = [
        f"| {row['job']} | {'yes' if row['stage'] == 'after' else 'no'} | {row['questions']} | {row['correct']} "
        f"| {100 * row['accuracy']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}] |"
        for row in measured
    ]
    head = [
        "| job | with the adapter | questions | correct | accuracy [95 %, over questions] |",
        "|---|---|---|---|---|",
    ]
    return EVALUATION.join([before, "\n".join(["", *head, *rows, ""]), after])


def token_for(repo: str) -> str:
    """The hub's token. Raises UsageError when there is none, or when `repo` is not a valid name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UsageError(f"'{repo}' is no name of a repository: {error}") from None
    token = os.environ.get(TOKEN)
    if not token:
        raise UsageError(f"publishing needs a token of the hub that may write, in the variable {TOKEN}")
    return token


def publish(name: str, repo: str, *, private: bool = True) -> str:
    """Upload the models of round `name` to the hub's repository `repo` (owner/name); returns its address.

    The adapter goes to the root of the repository, with the measurements in its card. The merged model, if the round
    has one, goes to the folder `merged`. The token is read from HF_TOKEN. Raises UsageError when there is no such
    round, no adapter yet or no token, TracemillError with the hub's message when it refuses.
    """
    token = token_for(repo)
    with transaction() as connection:
        row = connection.execute(Q["round_by_name"], {"name": name}).mappings().one_or_none()
        if row is None or row["adapter_path"] is None:
            raise UsageError(f"round '{name}' {'has no adapter yet' if row else 'is not there'}: nothing to publish")
        measured = [
            dict(evaluation)
            for evaluation in connection.execute(Q["round_evaluations"], {"round_id": row["id"]}).mappings()
        ]
    adapter = Path(row["adapter_path"])
    return upload(adapter, adapter.with_name("merged"), measured, repo, token, private=private)


def upload(
    adapter: Path, merged: Path, measured: Sequence[Mapping[str, Any]], repo: str, token: str, *, private: bool
) -> str:
    """Write `measured` into the adapter's card and upload the folders that exist; returns the repository's address."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = HfApi(token=token)
    try:
        address = str(hub.create_repo(repo, private=private, exist_ok=True))
        if adapter.is_dir():
            card = adapter / "README.md"
            card.write_text(evaluated(card.read_text(), measured))
        for folder, path in ((adapter, "."), (merged, "merged")):
            if folder.is_dir():
                hub.upload_folder(repo_id=repo, folder_path=folder, path_in_repo=path, commit_message="Tracemill")
    except (HfHubHTTPError, OSError) as error:
        raise TracemillError(f"the hub did not take {repo}: {reason_of(error)}") from None
    return address
