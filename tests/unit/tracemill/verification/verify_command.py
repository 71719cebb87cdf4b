"""`tracemill verify` as the tests of it run it, and what they give it."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cli.main import main
from tests.conftest import forget


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Verify = Callable[..., Ended]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Verify]:
    """Runs `tracemill verify WORDS` in this process as the shell would."""

    def call(*words: str | Path, **environment: str) -> Ended:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        forget()
        monkeypatch.setattr(sys, "argv", ["tracemill", "verify", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, *capsys.readouterr())

    yield call
    forget()


def command(*words: str | Path) -> list[str]:
    """The same for a process of its own, to be started in ROOT."""
    return [sys.executable, "-m", "cli", "verify", *map(str, words)]


def sums(n: int) -> list[dict[str, Any]]:
    """Traces of which every third is wrong."""
    return [
        {
            "id": f"q{i}",
            "question": f"What is {i} + 7?",
            "gold": str(i + 7),
            "trace": f"We add.\n{i} + 7 = {i + 7 + (i % 3 == 2)}\nThe answer is {i + 7 + (i % 3 == 2)}.",
        }
        for i in range(n)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def read(text: str | Path) -> list[dict[str, Any]]:
    """The rows of an output; each line must be strict JSON."""
    text = text.read_text("utf-8") if isinstance(text, Path) else text
    assert not text or text.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in text.split("\n")[:-1]]
