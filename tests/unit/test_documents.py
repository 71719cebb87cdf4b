"""The commands, options, keys, targets and modules that the documents name exist."""

import re
import shlex
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import app
from tests.conftest import forget
from tests.documented import PAGES, ROOT, blocks, mentions
from tracemill.policy import Policy
from tracemill.settings import settings
from trainer.loop import LoopSpec
from trainer.spec import RoundSpec

TEXT = "\n".join(page.read_text(encoding="utf-8") for pattern in PAGES for page in sorted(ROOT.glob(pattern)))
#: The least that a round's file must have.
ROUND = {"name": "any", "select": {"jobs": ["any"]}, "evaluate": {"jobs": ["any"]}}


@pytest.mark.parametrize("mention", sorted(set(mentions())))
def test_a_command_that_a_sentence_names_exists(mention: str) -> None:
    command: Any = typer.main.get_command(app)
    options = _options(command)
    for word in shlex.split(mention)[1:]:
        if word.startswith("-"):
            assert word in options, f"{mention}: no option {word}"
        elif hasattr(command, "commands"):
            assert word in command.commands, f"{mention}: no command {word}"
            command = command.commands[word]
            options |= _options(command)


def _options(command: Any) -> set[str]:
    return {"--help", *(name for parameter in command.params for name in parameter.opts)}


@pytest.mark.parametrize("block", list(blocks("toml")), ids=lambda block: " ".join(block.split())[:40])
def test_a_documented_file_has_only_known_keys_and_values(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tomllib.loads(block)
    if "models" in content:
        (tmp_path / "tracemill.toml").write_text(block)
        monkeypatch.setenv("TRACEMILL_CONFIG", str(tmp_path / "tracemill.toml"))
        forget()
        assert settings().models["teacher"].model == content["models"]["teacher"]["model"]
        forget()
    elif "correct" in content:
        Policy.model_validate(content)
    elif "attempt" in content:
        LoopSpec.model_validate(content)
    else:
        rest = {**ROUND, **content}
        RoundSpec.model_validate(rest | {"select": {**ROUND["select"], **content.get("select", {})}})


@pytest.mark.parametrize("target", sorted(set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", TEXT, re.MULTILINE))))
def test_a_documented_target_of_make_exists(target: tuple[str, str]) -> None:
    name = "".join(target)
    assert re.search(rf"^{name}:.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (benchmarks\.[a-z_]+)", TEXT))))
def test_a_documented_benchmark_exists(module: str) -> None:
    assert find_spec(module) is not None


@pytest.mark.parametrize("script", sorted(set(re.findall(r"python (docs/\w+\.py)", TEXT))))
def test_a_documented_script_exists(script: str) -> None:
    assert (ROOT / script).is_file()


@pytest.mark.parametrize("extras", sorted(set(re.findall(r"pip install[^`\n]*\[([a-z,]+)\]", TEXT))))
def test_documented_extras_exist(extras: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {*extras.split(",")} <= project["optional-dependencies"].keys()
