"""Checks of `tracemill doctor`: what others could read or control."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from cli.findings import Finding
from tracemill.engines.api_key import KEYS, api_key, is_loopback
from tracemill.errors import UsageError
from tracemill.settings import Settings


def safety(settings: Settings) -> Iterator[Finding]:
    """The findings about the data folder, the keys and Flower."""
    yield _data_folder(settings.data_dir.absolute())
    yield _keys(settings)
    yield _flower(settings)


def _data_folder(folder: Path) -> Finding:
    if not folder.exists():
        return Finding("data folder", "ok", "none yet; `tracemill up` makes a private one")
    mode = folder.stat().st_mode & 0o777
    if mode & 0o006:
        result = f"every user of this machine can read or write {folder} (mode {mode:03o})"
        return Finding("data folder", "warning", result, f"chmod o-rw {folder}")
    return Finding("data folder", "ok", "other users cannot read it")


def _keys(settings: Settings) -> Finding:
    exposed = sorted(set(_plain_keys(settings)))
    if not exposed:
        return Finding("keys", "ok", "none goes to another machine over plain http")
    advice = f"use https, and remove the entry from {KEYS} or HF_ENDPOINT"
    return Finding("keys", "warning", f"over plain http, where others can read it: {', '.join(exposed)}", advice)


def _plain_keys(settings: Settings) -> Iterator[str]:
    for config in settings.models.values():
        with suppress(UsageError):  # this key is not sent
            if (host := _plain_host(config.openai.base_url)) and api_key(config):
                yield f"{config.openai.api_key_env} to {host}"
    if (host := _plain_host(os.environ.get("HF_ENDPOINT"))) and os.environ.get("HF_TOKEN"):
        yield f"HF_TOKEN to {host}"


def _plain_host(address: str | None) -> str | None:
    """The host of an address without encryption on another machine."""
    parts = urlsplit(address or "")
    return parts.hostname if parts.scheme == "http" and not is_loopback(parts.hostname or "") else None


def _flower(settings: Settings) -> Finding:
    exposed = sorted({address for address in _flower_addresses(settings) if not is_loopback(address)})
    if exposed:
        result = f"it listens on {', '.join(exposed)} and may shut down workers and send tasks"
        advice = "start it by `tracemill celery flower --address=127.0.0.1`, or set flower_writable = false"
        return Finding("Flower", "warning", result, advice)
    if settings.local.flower_writable:
        return Finding("Flower", "ok", "it may shut down workers and send tasks, on loopback only")
    return Finding("Flower", "ok", "it only shows")


def _flower_addresses(settings: Settings) -> Iterator[str]:
    """The addresses of the Flowers of this machine that change workers. Other users' Flowers are not visible."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "flower" in words and any("celery" in word for word in words) and not _is_read_only(words, settings):
            with suppress(psutil.Error):
                listening = [each for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
                yield from (connection.laddr.ip for connection in listening)


def _is_read_only(words: Sequence[str], settings: Settings) -> bool:
    """Whether a Flower with this command line changes nothing. `celery -A tracemill flower` lacks our defaults."""
    flags = [word.partition("=")[2] for word in words if word.replace("_", "-").startswith("--read-only")]
    if flags:
        return flags[-1].lower() not in ("false", "f", "0")
    return "-A" not in words and not settings.local.flower_writable
