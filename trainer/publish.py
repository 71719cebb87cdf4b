"""A round's adapter, or its merged model, on a model hub."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from db.queries import Q
from db.session import transaction
from tracemill.errors import TracemillError, UsageError
from trainer.card import evaluated

TOKEN = "HF_TOKEN"


def token_for(repo: str) -> str:
    """The hub's token. Raises UsageError when there is none, or when `repo` is no name that the hub would take."""
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
    """Upload what round `name` made to the hub's model repository `repo` (owner/name); its address.

    The adapter goes to the repository's root, with what was measured in its card, and the merged model, where the round
    made one, to the folder `merged`. The token is read from HF_TOKEN. Raises UsageError when there is no such round, no
    adapter yet or no token, TracemillError with the hub's words when it refuses.
    """
    token = token_for(repo)
    with transaction() as connection:
        row = connection.execute(Q["round_by_name"], {"name": name}).mappings().one_or_none()
        if row is None or row["adapter_path"] is None:
            raise UsageError(f"round '{name}' {'has no adapter yet' if row else 'is not there'}: nothing to publish")
        measured = [
            dict(found) for found in connection.execute(Q["round_evaluations"], {"round_id": row["id"]}).mappings()
        ]
    adapter = Path(row["adapter_path"])
    return upload(adapter, adapter.with_name("merged"), measured, repo, token, private=private)


def upload(
    adapter: Path, merged: Path, measured: Sequence[Mapping[str, Any]], repo: str, token: str, *, private: bool
) -> str:
    """Write `measured` into the cards and upload the folders that are there; the repository's address."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    hub = HfApi(token=token)
    try:
        address = str(hub.create_repo(repo, private=private, exist_ok=True))
        for folder, place in ((adapter, "."), (merged, "merged")):
            if folder.is_dir():
                card = folder / "README.md"
                card.write_text(evaluated(card.read_text(), measured))
                hub.upload_folder(repo_id=repo, folder_path=folder, path_in_repo=place, commit_message="Tracemill")
    except (HfHubHTTPError, OSError) as error:
        raise TracemillError(f"the hub did not take {repo}: {error}") from None
    return address
