"""Every TOML file that is shipped opens, and its model aliases serve adapters only where they are trained."""

import tomllib
from pathlib import Path

import pytest

from tests import ROOT
from tests.conftest import forget
from tracemill.settings import settings
from trainer import loop, spec

#: The settings files, and whether each alias serves adapters. A key that a file leaves out keeps its default.
ADAPTERS = {
    "tracemill.example.toml": {"teacher": True, "student": True, "verifier": True},
    "docker/settings.toml": {"teacher": False, "student": True, "verifier": False},
    "recipes/tracemill.toml": {"teacher": False, "student": True, "sibling": True, "verifier": True},
}
#: Folders of this project with files for users.
SHIPPED = [path for folder in ("", "docker", "recipes", "docs") for path in sorted((ROOT / folder).glob("*.toml"))]
OTHERS = [path for path in SHIPPED if str(path.relative_to(ROOT)) not in (*ADAPTERS, "pyproject.toml")]


@pytest.mark.parametrize("file", ADAPTERS)
def test_a_settings_file_opens_and_only_students_serve_adapters(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_CONFIG", str(ROOT / file))
    forget()
    try:
        current = settings()
        assert {alias: config.vllm.adapters for alias, config in current.models.items()} == ADAPTERS[file]
        assert {*current.local.generate, *filter(None, [current.local.judge])} <= set(current.models)
    finally:
        forget()


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: path.name)
def test_a_recipe_opens_with_the_command_of_its_kind(path: Path) -> None:
    if "attempt" in tomllib.loads(path.read_text(encoding="utf-8")):
        assert loop.load(path).attempt.source
    else:
        assert spec.load(path).teach
