"""Packages as pip would get them: the index, links and certificates that pip is configured to use, and no others."""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

#: Platforms of the wheels that a GPU machine installs, newest first.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (34, 31, 28, 17)]


@cache
def pip_option(name: str) -> str:
    """An option of pip, from its environment variables or its files; empty if nothing sets it."""
    listed = _pip("config", "list").stdout.splitlines()
    values = dict(line.split("=", 1) for line in listed if line.partition("=")[0].endswith(f".{name}"))
    chosen = values.get(f":env:.{name}") or next(reversed(values.values()), "''")
    return str(ast.literal_eval(chosen))


def uv_environment(*, links: bool) -> dict[str, str]:
    """Variables with which uv uses pip's index, and pip's links to single wheels if `links`."""
    chosen = {
        "UV_DEFAULT_INDEX": pip_option("index-url"),
        "UV_INDEX": pip_option("extra-index-url"),
        "UV_FIND_LINKS": ",".join(pip_option("find-links").split()) if links else "",
        "SSL_CERT_FILE": pip_option("cert"),
    }
    always = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_HTTP_RETRIES": "0", "UV_SYSTEM_CERTS": "1"}
    return always | {name: value for name, value in chosen.items() if value}


def wheel_url(requirement: str) -> str | None:
    """The address of the wheel that pip would install for a GPU machine; None if the index cannot be reached."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    options = ["--dry-run", "--quiet", "--no-deps", "--ignore-installed", "--only-binary=:all:", "--report=-"]
    report = _pip("install", *options, *platforms, "--python-version=3.11", "--target=unused", requirement)
    if report.returncode:
        return None
    wheels: list[dict[str, Any]] = json.loads(report.stdout)["install"]
    return str(wheels[0]["download_info"]["url"])


def _pip(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=Path("/"))
