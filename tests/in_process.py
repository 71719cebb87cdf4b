"""Run `tracemill` commands in this process, which costs a tenth of the installed command's time.

Output, exit code and sentences of errors are the same. `tests.installed` runs the installed command.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from io import StringIO
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryFile
from typing import IO
from unittest.mock import patch

import pytest

from cli.main import main
from cli.output import console, progress_console
from tests.conftest import forget
from tests.installed import environment


def here(folder: Path, *words: str, stdin: str = "", **variables: str) -> "CompletedProcess[str]":
    """Run `tracemill WORDS` in the folder to its end, with any exit code and without the variables of the tests."""
    forget()
    width = int(variables.get("COLUMNS", "80"))
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as errors:
        with (
            chdir(folder),
            patch.dict(os.environ, environment() | variables, clear=True),
            patch.object(sys, "argv", ["tracemill", *words]),
            patch.object(console, "_width", width),
            patch.object(progress_console, "_width", width),
            patch.object(sys, "stdin", StringIO(stdin)),
            _diverted("stdout", 1, out),
            _diverted("stderr", 2, errors),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        forget()
        assert isinstance(ended.value.code, int)
        return CompletedProcess(words, ended.value.code, _content(out), _content(errors))


@contextmanager
def _diverted(name: str, descriptor: int, file: IO[str]) -> Iterator[None]:
    """Write a stream of this process into the file until the block ends, also the output of its child processes."""
    getattr(sys, name).flush()
    saved = os.dup(descriptor)
    os.dup2(file.fileno(), descriptor)
    try:
        with patch.object(sys, name, file):
            yield
    finally:
        os.dup2(saved, descriptor)
        os.close(saved)


def _content(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
