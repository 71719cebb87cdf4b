"""Tell once what a settings file decides that nobody has named: it was merely in the folder, and may be another's."""

import hashlib
import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tracemill.engines.api_key import is_loopback
from tracemill.settings import FOLDER_FILE, is_file_of_folder
from tracemill.text import printable

#: Settings that decide where data go and come from. Their values may hold passwords.
ADDRESSES = ("data_dir", "database_url", "direct_url", "reader_url", "redis_url")


def announce() -> None:
    """Print one line on standard error if the file decides something new about data, servers, keys or code.

    A file that cannot be read is reported by the command itself.
    """
    if not is_file_of_folder():
        return
    try:
        decisions = list(_decisions(tomllib.loads(FOLDER_FILE.read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return
    line = f"first use of {FOLDER_FILE.absolute()}: it sets {', '.join(decisions)}"
    if decisions and _is_new(line):
        print(printable(line), file=sys.stderr)


def _decisions(values: Mapping[str, Any]) -> Iterator[str]:
    yield from (name for name in ADDRESSES if name in values)
    models = values.get("models")
    for alias, model in (models if isinstance(models, Mapping) else {}).items():
        options = {name: value for section in _sections(model) for name, value in section.items()}
        host = urlsplit(str(options.get("base_url", ""))).hostname
        if host and not is_loopback(host):
            key = f", which gets the key in {options['api_key_env']}" if "api_key_env" in options else ""
            yield f"the server {host} for {alias}{key}"
        if options.get("trust_remote_code"):
            yield f"trust_remote_code for {alias}"


def _sections(model: object) -> Iterator[Mapping[str, Any]]:
    """Yield the tables of a model alias: older files have the options of an engine beside `engine`."""
    if isinstance(model, Mapping):
        yield model
        for value in model.values():
            yield from _sections(value)


def _is_new(line: str) -> bool:
    """Remember a line for this user. Where nothing can be stored, every line is new."""
    state = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "tracemill" / "first-uses"
    digest = hashlib.sha256(line.encode("utf-8", "replace")).hexdigest()
    with suppress(OSError):
        if state.is_file() and digest in state.read_text().split():
            return False
        state.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with state.open("a") as file:
            file.write(f"{digest}\n")
    return True
