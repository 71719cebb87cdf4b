"""Files that cannot be read or written: a sentence names them, without Python's error numbers."""

import json
import resource
import subprocess
from pathlib import Path

import pytest

from db.session import transaction
from tests.conftest import empty, forget
from tests.in_process import here
from tests.installed import TRACEMILL, environment
from tests.integration.measured import benchmark, measured, teach
from tracemill.settings import settings
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

#: Every command that reads a file of the user's, with FILE in its place.
READING = [
    "enqueue FILE --name none",
    "enqueue questions.jsonl --name none --examples FILE",
    "enqueue questions.jsonl --name none --policy FILE",
    "pilot FILE --name none",
    "verify FILE -o verdicts.jsonl",
    "calibrate FILE --judge verifier --no-store",
    "train FILE --dry-run",
    "loop FILE --dry-run",
    "sql -f FILE",
    "--config FILE config",
    "--data-dir FILE/deeper up",
]
#: A link to itself is unreadable for every user, also for root.
UNREADABLE = ("missing.toml", "folder", "itself", "plain.txt/x.toml")
#: Every command that writes a file of the user's.
WRITING = [
    "export FILE --format jsonl",
    "export FILE --format parquet",
    "report round-1 -o FILE",
    "verify traces.jsonl -o FILE",
]


@pytest.fixture(scope="module")
def round_1(stack: Stack) -> None:
    """A job with traces and a round in the database."""
    forget()
    empty(stack)
    with transaction() as connection:
        traces = teach(connection)
        benchmark(connection, "held-out", [n < 5 for n in range(20)])
        measured(connection, "round-1", {"held-out": [n < 8 for n in range(20)]}, traces)


@pytest.fixture
def folder(round_1: None, tmp_path: Path) -> Path:
    """A folder with files."""
    (tmp_path / "questions.jsonl").write_text(json.dumps({"question": "What is 3 + 4?", "gold": "7"}))
    (tmp_path / "traces.jsonl").write_text(json.dumps({"question": "3 + 4?", "gold": "7", "trace": "It is 7."}))
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain.txt").touch()
    (tmp_path / "itself").symlink_to("itself")
    return tmp_path


def data_dir() -> dict[str, str]:
    return {"TRACEMILL_DATA_DIR": str(settings().data_dir.absolute())}


def run(
    folder: Path, *words: str, output: int = subprocess.PIPE, limited: bool = False
) -> "subprocess.CompletedProcess[str]":
    def no_file_may_grow() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    return subprocess.run(
        [TRACEMILL, *words],
        cwd=folder,
        env=environment() | data_dir(),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=no_file_may_grow if limited else None,
    )


def assert_is_a_sentence(code: int | None, errors: str, file: str) -> None:
    assert code in (1, 2)
    last = errors.splitlines()[-1]
    assert last.startswith("error: ")
    assert file in last
    assert "errno" not in errors.lower()
    assert "Traceback" not in errors


@pytest.mark.parametrize("line", READING)
def test_a_file_that_cannot_be_read_is_named_in_a_sentence(folder: Path, line: str) -> None:
    for file in UNREADABLE if "/deeper" not in line else ("itself", "plain.txt"):
        ended = here(folder, *line.replace("FILE", file).split(), **data_dir())
        assert_is_a_sentence(ended.returncode, ended.stderr, file)


@pytest.mark.parametrize("line", [READING[0], READING[5], READING[8]])
def test_the_installed_command_prints_the_same_sentence(folder: Path, line: str) -> None:
    ended = run(folder, *line.replace("FILE", "itself").split())
    assert_is_a_sentence(ended.returncode, ended.stderr, "itself")


@pytest.mark.parametrize("line", WRITING)
@pytest.mark.parametrize("file", ["folder", "plain.txt/x.jsonl"])
def test_a_file_that_cannot_be_written_is_named_in_a_sentence(folder: Path, line: str, file: str) -> None:
    ended = here(folder, *line.replace("FILE", file).split(), **data_dir())
    assert_is_a_sentence(ended.returncode, ended.stderr, file.split("/")[0])


@pytest.mark.parametrize("line", WRITING[:3])
def test_a_file_that_cannot_grow_is_named_in_a_sentence(folder: Path, line: str) -> None:
    ended = run(folder, *line.replace("FILE", "out.jsonl").split(), limited=True)
    assert_is_a_sentence(ended.returncode, ended.stderr, "cannot write out.jsonl: ")


@pytest.mark.parametrize("line", ["verify traces.jsonl -o /dev/full", "report round-1 -o /dev/full"])
def test_a_full_disk_is_named_in_a_sentence(folder: Path, line: str) -> None:
    ended = here(folder, *line.split(), **data_dir())
    assert_is_a_sentence(ended.returncode, ended.stderr, "cannot write /dev/full: No space left on device")


@pytest.mark.parametrize("line", ["jobs list --json", "export -", "config"])
def test_a_full_disk_behind_standard_output_is_an_error(folder: Path, line: str) -> None:
    with open("/dev/full", "w") as full:
        ended = run(folder, *line.split(), output=full.fileno())
    assert (ended.returncode, ended.stderr.strip()) == (1, "error: No space left on device")
