"""`pip install tracemill[verify]` alone, in an empty virtual environment: the library, the command and the server."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.packages import uv_environment
from tracemill import __version__

pytestmark = [pytest.mark.integration, pytest.mark.slow]  # it installs from the index

SOURCES = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "tracemill",
    "db",
    "migrations",
    "producer",
    "workers",
    "trainer",
    "cli",
)
PROGRAM = """
import sys
from tracemill.verification import Item, verify, verify_many
from tracemill.verification.rewards import trl_reward

if __name__ == "__main__":
    items = [Item("The answer is 7.", gold="7"), Item(r"So \\boxed{\\frac{1}{2}}.", gold="0.5")]
    print(verify(items[0]).correct, [verdict.correct for verdict in verify_many(items, workers=2)])
    print(trl_reward(completions=["The answer is 7.", "The answer is 8."], gold=["7", "7"]))
    print({"sqlalchemy", "psycopg", "celery", "kombu", "redis", "torch"} & set(sys.modules))
"""


def run(words: list[str | Path], folder: Path, seconds: int = 300) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    ended = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=kept | uv_environment(links=False) | {"UV_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if "uv" in str(words[0]) and ended.returncode and "error sending request" in ended.stderr:
        pytest.skip("!!! NOTHING WAS INSTALLED: pip's index does not answer")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_extra_verify_alone_verifies(tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip(f"!!! NOTHING WAS INSTALLED: there is no {uv}; `make install` brings it")
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    run([uv, "--quiet", "venv", "--python", sys.executable, tmp_path / "venv"], tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run([uv, "--quiet", "pip", "install", "--python", python, f"{source}[verify]"], tmp_path)
    here = tmp_path / "elsewhere"
    here.mkdir()
    (here / "program.py").write_text(PROGRAM)
    assert run([python, "program.py"], here) == "True [True, True]\n[1.0, 0.0]\nset()\n"
    (here / "traces.jsonl").write_text(json.dumps({"trace": "The answer is 7.", "gold": "7"}) + "\n")
    verdict = json.loads(run([python.with_name("tracemill"), "verify", "traces.jsonl"], here))
    assert verdict["proof"] == "exact rational"
    assert run([python.with_name("tracemill"), "--version"], here).strip().endswith(__version__)
