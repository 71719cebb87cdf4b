"""A fake model hub that records its calls, in place of `huggingface_hub.HfApi`."""

from pathlib import Path
from typing import Any


class Hub:
    """Records the calls of the last instance."""

    calls: list[tuple[str, Any]]

    def __init__(self, token: str) -> None:
        Hub.calls = [("token", token)]

    def create_repo(self, repo: str, *, private: bool, exist_ok: bool) -> str:
        Hub.calls.append((repo, private))
        return f"hub/{repo}"

    def upload_folder(self, *, repo_id: str, folder_path: Path, path_in_repo: str, commit_message: str) -> None:
        Hub.calls.append((path_in_repo, sorted(path.name for path in folder_path.iterdir())))
