"""Errors of commands are sentences without a traceback. Exit code 2 means wrong use, 1 means failure."""

import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from cli import entry
from cli.main import app, main
from tests import ROOT
from tests.conftest import forget

CLOSED = "127.0.0.1:1"


class Ended(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    """Run `tracemill WORDS` in this process as a shell would, without a stack."""
    monkeypatch.setenv("TRACEMILL_DATA_DIR", str(tmp_path / "no-stack"))

    def call(*words: str, **environment: str) -> Ended:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        forget()
        monkeypatch.setattr(sys, "argv", ["tracemill", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, *capsys.readouterr())

    yield call
    forget()


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    """A valid file of two questions."""
    path = tmp_path / "sums.jsonl"
    path.write_text('{"question": "1 + 1?", "answer": "2"}\n{"question": "2 + 2?", "answer": "4"}\n')
    return path


def is_a_sentence(ended: Ended) -> bool:
    """Return whether stderr has an `error:` line and no traceback, and stdout is empty."""
    return ended.err.lstrip().startswith("error: ") and ended.out == "" and "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{folder}/none.jsonl"], "there is no file {folder}/none.jsonl"),
        (["{folder}"], "{folder} is a folder"),
        (["{folder}/*.csv"], "no file matches"),
        (["{folder}/empty.jsonl"], "is empty"),
        (["ftp:elsewhere"], "unknown kind of source 'ftp'"),
        (["gym:no_such_puzzle"], "no_such_puzzle"),
        (["{sums}", "--map", "question=prompt"], "prompt"),
        (["{sums}", "--map", "gold"], "--map gold: write OURS=THEIRS"),
        (["{sums}", "--map", "reply=answer"], "--map reply=answer"),
        (["{sums}", "--model", "teachr"], "teachr"),
        (["{sums}", "--name", "my job"], "--name 'my job': use letters"),
        (["{sums}", "--judge", "nobody"], "nobody"),
        (
            ["{sums}", "--judge", "verifier", "--gate", "rateing=0.5"],
            "--gate rateing=0.5: there is no signal 'rateing'",
        ),
        (["{sums}", "--max-tokens", "2049"], "max_tokens = 2049 (--max-tokens) is more than the 2048 tokens"),
        (["{folder}/bare.jsonl", "--method", "rationalize"], "none of its first 2 questions has a gold answer"),
        (["{sums}", "--method", "guess"], "unknown method 'guess': there are contrast, cot, explain"),
        (["{sums}", "--examples", "{folder}/none.jsonl"], "no such file: {folder}/none.jsonl (--examples)"),
        (["{sums}", "--examples", "{folder}"], "{folder} is a folder: name a JSONL file (--examples)"),
        (["{sums}", "--examples", "{folder}/broken.jsonl"], "broken.jsonl:1"),
    ],
)
def test_enqueue_names_the_fault_of_a_request(run: Run, sums: Path, words: list[str], message: str) -> None:
    (sums.parent / "empty.jsonl").touch()
    (sums.parent / "broken.jsonl").write_text("no json\n")
    (sums.parent / "bare.jsonl").write_text('{"question": "1 + 1?"}\n{"question": "2 + 2?"}\n')
    # There is no database: the request must be checked before the first query.
    words = [word.format(folder=sums.parent, sums=sums) for word in words]
    ended = run("enqueue", *words, TRACEMILL_DATABASE_URL=f"postgresql+psycopg://t:secret@{CLOSED}/t")
    assert message.format(folder=sums.parent) in ended.err
    assert ended.code == 2
    assert is_a_sentence(ended)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["enqueue", "{sums}", "--sample", "3"], "--samples"),
        (["enqueue", "{sums}", "--samples", "0"], "--samples"),
        (["enqueue", "{sums}", "--samples", "many"], "--samples"),
        (["enqueue", "{sums}", "--domain", "maths"], "maths"),
        (["enqueue", "{sums}", "--purpose", "learn"], "learn"),
        (["enqueue"], "source"),
        (["enque"], "enqueue"),
        (["jobs", "shwo"], "show"),
        (["jobs", "show"], "name"),
        (["worker", "generate"], "--model"),
        (["sql", "select 1", "--json", "--csv"], "--csv"),
        (["demo", "--questions", "5"], "--questions"),
        (["up", "--redis-port", "none"], "--redis-port"),
    ],
)
def test_a_typing_error_is_wrong_use_and_names_the_word(run: Run, sums: Path, words: list[str], message: str) -> None:
    ended = run(*(word.format(sums=sums) for word in words))
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "words",
    [
        ["jobs", "list"],
        ["jobs"],
        ["jobs", "watch"],
        ["jobs", "pause", "sums"],
        ["enqueue", "{sums}"],
        ["sql", "select 1"],
        ["db", "check"],
        ["db", "upgrade"],
        ["flower"],
        ["rounds", "list"],
        ["producer"],
    ],
)
def test_without_a_stack_commands_say_how_to_start_one(run: Run, sums: Path, words: list[str]) -> None:
    ended = run(*(word.format(sums=sums) for word in words))
    assert ended.code == 1
    assert is_a_sentence(ended)
    assert "tracemill up" in ended.err


@pytest.mark.parametrize(
    "words", [["jobs", "list"], ["enqueue", "{sums}"], ["sql", "select 1"], ["db", "check"], ["rounds", "show", "r"]]
)
def test_commands_report_a_missing_postgres_without_its_password(run: Run, sums: Path, words: list[str]) -> None:
    ended = run(
        *(word.format(sums=sums) for word in words),
        TRACEMILL_DATABASE_URL=f"postgresql+psycopg://t:secret@{CLOSED}/t",
        TRACEMILL_READER_URL=f"postgresql://r:secret@{CLOSED}/t",
    )
    assert ended.code == 1
    assert is_a_sentence(ended)
    assert "cannot reach Postgres: connection" in ended.err
    assert "refused" in ended.err
    assert "secret" not in ended.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[models.teacher\n", "tracemill.toml"),
        ("generate_concurency = 3\n", "generate_concurency"),
        ("generate_concurrency = 0\n", "generate_concurrency"),
        ("[models.teacher]\nengine = 'abacus'\n", "models.teacher.engine"),
        ("[feeder]\nwindow = 'wide'\n", "feeder.window"),
    ],
)
def test_settings_that_cannot_be_read_are_wrong_use(run: Run, tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "tracemill.toml"
    path.write_text(content)
    ended = run("config", TRACEMILL_CONFIG=str(path))
    assert ended.code == 2
    assert is_a_sentence(ended)
    assert message in ended.err


def test_a_missing_settings_file_is_wrong_use(run: Run, tmp_path: Path) -> None:
    ended = run("config", TRACEMILL_CONFIG=str(tmp_path / "none.toml"))
    assert ended.code == 2
    assert is_a_sentence(ended)
    assert "none.toml" in ended.err


def test_a_worker_for_an_unknown_alias_does_not_start(run: Run) -> None:
    for words in (["generate", "--model", "teachr"], ["verify", "--judge", "nobody"]):
        ended = run("worker", *words)
        assert ended.code == 2
        assert is_a_sentence(ended)
        assert words[-1] in ended.err


def test_a_missing_round_file_is_wrong_use(run: Run, tmp_path: Path) -> None:
    ended = run("train", str(tmp_path / "round.toml"))
    assert ended.code == 2
    assert is_a_sentence(ended)
    assert "round.toml" in ended.err


def test_config_shows_the_origin_of_each_value_and_no_secret(run: Run) -> None:
    ended = run(
        "config",
        "--json",
        TRACEMILL_GENERATE_CONCURRENCY="7",
        TRACEMILL_REDIS_URL=f"redis://:secret@{CLOSED}/0",
    )
    assert ended.code == 0
    origins = {row["setting"]: (row["value"], row["from"]) for row in json.loads(ended.out)}
    assert origins["generate_concurrency"] == (7, "environment")
    assert origins["verify_concurrency"] == (0, "default")
    assert origins["redis_url"][1] == "environment"
    assert "secret" not in ended.out


def test_config_shows_the_sampling_of_a_models_own_card(run: Run, tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text('{"temperature": 0.6, "top_k": 20}')
    models = json.dumps({"teacher": {"model": str(tmp_path), "sampling": {"temperature": 0.8}}})
    rows = {row["setting"]: row for row in json.loads(run("config", "--json", TRACEMILL_MODELS=models).out)}
    assert rows["models.teacher.sampling"] == {
        "setting": "models.teacher.sampling",
        "value": {"temperature": 0.6, "top_k": 20},
        "from": "the model's generation_config",
    }
    printed = run("config", TRACEMILL_MODELS=models).out
    record = r"setting models\.teacher\.sampling\.{} ─+\s+value +{} *\s+from +{}"
    assert re.search(record.format("top_k", "20", "the model's generation_config"), printed)
    assert re.search(record.format("temperature", "0.8", "environment"), printed)


def test_status_and_down_without_a_stack_are_no_error(run: Run) -> None:
    assert json.loads(run("status", "--json").out) == []
    assert run("down").code == 0


@pytest.mark.parametrize(("command", "code"), [("status", 0), ("down", 0), ("restart", 1), ("flower", 1)])
def test_without_a_stack_a_command_names_the_folder_that_it_looked_in(
    run: Run, tmp_path: Path, command: str, code: int
) -> None:
    ended = run(command)
    assert ended.code == code
    expected = f"no stack runs in {tmp_path}/no-stack: start it with `tracemill up`, or go to the folder of yours\n"
    assert (ended.out + ended.err).removeprefix("error: ") == expected


def commands(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *before, name)
        else:
            yield (*before, name)


@pytest.mark.parametrize("words", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_the_help_of_every_command_shows_an_example_of_itself(run: Run, words: tuple[str, ...]) -> None:
    ended = run(*words, "--help")
    assert ended.code == 0
    assert f"Example: tracemill {' '.join(words)}" in " ".join(ended.out.split())
    assert not re.search(r"\w…", ended.out)  # no default and no name is cut
    flags = [line for line in ended.out.splitlines() if "<bool>" in line and "--help" not in line]
    assert flags == []  # a flag takes no value


@pytest.mark.parametrize("words", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_help_wraps_only_where_the_terminal_ends(run: Run, words: tuple[str, ...]) -> None:
    text = run(*words, "--help").out.split("╭")[0]
    lines = [line.rstrip() for line in text.splitlines()]
    for line, following in pairwise(lines):
        if line and following and "  " not in following.strip():  # a table keeps its lines
            assert len(line) + 1 + len(following.split()[0]) > 79, text


@pytest.mark.parametrize(
    ("settings", "words", "message"),
    [
        ("", ["enqueue", "none.jsonl"], "error: there is no file none.jsonl"),
        ("workers = [", ["config"], "error: cannot read the settings (tracemill.toml"),
    ],
)
def test_the_installed_command_prints_the_same_errors(
    tmp_path: Path, settings: str, words: list[str], message: str
) -> None:
    (tmp_path / "tracemill.toml").write_text(settings)
    ended = subprocess.run(
        [Path(sys.executable).with_name("tracemill"), *words],
        cwd=tmp_path,
        env={**os.environ, "TRACEMILL_CONFIG": "tracemill.toml"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(message)
    assert len(ended.stderr.splitlines()) == 1


def test_ctrl_c_during_the_imports_ends_the_command_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Impatient:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "cli.main")
    monkeypatch.setattr(sys, "meta_path", [Impatient(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 130


def test_a_question_that_nobody_answers_names_the_option_that_confirms(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    ended = run("db", "downgrade", "base")
    assert ended.code == 130
    assert ended.err.endswith("error: not confirmed, so nothing is changed. --yes confirms it\n")


@pytest.mark.parametrize("words", [["methods"], ["methods", "--help"]])
def test_a_pipe_that_its_reader_closes_is_no_error(words: list[str], tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("tracemill"), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:  # type: ignore[call-overload]
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_installed_command_and_the_module_have_the_same_entry_point() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["tracemill"] == "cli.entry:main"
    assert "from cli.entry import main" in (ROOT / "cli" / "__main__.py").read_text()
