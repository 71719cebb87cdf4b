"""The fuzzing tool: it finds what it looks for, and a short run of it finds nothing."""

import os
import signal
from collections.abc import Callable

import pytest

from tests.fuzz import READERS, Reader, fuzz, fuzz_in_child, inputs

SEED, COUNT = 7, {"answers": 20, "equations": 20, "wire": 400, "servers": 200, "files": 30}


@pytest.mark.parametrize("name", READERS)
def test_no_reader_raises_an_undocumented_error(name: str) -> None:
    assert fuzz(READERS[name](), SEED, 0, COUNT[name], max_seconds=30) is None


def _fail(text: str) -> None:
    if text != "1 + 1":
        raise KeyError(text)


def _hang(text: str) -> None:
    while text != "1 + 1":
        pass


def _crash(text: str) -> None:
    if text != "1 + 1":
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("read", "what"), [(_fail, "KeyError"), (_hang, "OutOfTimeError")])
def test_an_undocumented_error_and_a_hang_are_findings(read: Callable[[str], None], what: str) -> None:
    finding = fuzz(Reader("sums", ["1 + 1"], ("+",), read), SEED, 3, 10, max_seconds=0.02)
    assert finding
    assert (finding.index, what) == (3, finding.what.split(":")[0])


def test_a_crash_is_a_finding_with_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "crash", lambda: Reader("sums", ["1 + 1"], ("+",), _crash))
    finding = fuzz_in_child("crash", SEED, 3, 10)
    assert finding
    assert (finding.index, finding.what) == (3, "killed: 9")


def test_a_seed_and_an_index_name_an_input() -> None:
    reader = READERS["wire"]()
    assert list(inputs(reader, SEED, 0, 5))[3:] == list(inputs(reader, SEED, 3, 2))
    assert list(inputs(reader, SEED, 0, 5)) != list(inputs(reader, SEED + 1, 0, 5))
