"""The README's first block and the small recipe, in order, in an empty folder: real parts, default settings.

`test_documented_commands.py` tries every documented command beside a scripted model. This walk takes minutes.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documented import commands
from tests.installed import tracemill
from tests.integration.documented_world import write_files

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(2400)]


def documented(beginning: str) -> str:
    """The documented command that begins like this."""
    return next(line for line in commands() if line.startswith(beginning))


#: Each command with a pattern of what it prints.
WALK = [
    ("tracemill up", r"postgres +│ RUNNING(.|\n)*^logs: "),
    (
        documented("tracemill enqueue questions.jsonl"),
        r"^job questions-teacher-cot: 6 questions read, 6 new, 0 left out",
    ),
    ("tracemill jobs watch", r"questions-teacher-cot.* done "),
    (documented('tracemill sql "select question, answer'), r"question(.|\n)*answer(.|\n)*gold(.|\n)*proof"),
    (documented("tracemill train recipes/gsm8k-cot.toml --set name=small"), r"small"),
    ("tracemill rounds show small", r"after"),
    ("tracemill report small", r"^report of round small: /.*/report\.html$"),
    ("tracemill health", r"│ redis +│ well"),
    ("tracemill down", r"^$"),
    ("tracemill status", r"STOPPED"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder but for the files that the commands name."""
    write_files(tmp_path)
    try:
        yield tmp_path
    finally:
        tracemill(tmp_path, "down", seconds=120)


def test_a_newcomer_can_follow_the_documents_from_top_to_bottom(folder: Path) -> None:
    for line, prints in WALK:
        ended = tracemill(folder, *shlex.split(line)[1:], seconds=1800, COLUMNS="120")
        printed = ended.stdout + ended.stderr
        assert ended.returncode == 0, f"{line}: {ended.returncode}\n{printed}"
        assert re.search(prints, printed, re.MULTILINE), f"{line}\n{printed}"
