"""`--config FILE` and `--data-dir FOLDER` apply to the installed command and to every process that it starts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.installed import environment, succeed, tracemill

pytestmark = pytest.mark.integration

#: Imports every module of ours; ends with the stack of the first import that reads the settings. Libraries that take
#: seconds to import are empty modules here.
IMPORT_ALL = """
import importlib, pkgutil, sys, traceback
from importlib.machinery import ModuleSpec
from types import ModuleType
from tracemill import settings

class Library(ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})

class Libraries:
    def find_spec(self, name, path, target=None):
        names = ("accelerate", "bitsandbytes", "datasets", "peft", "torch", "transformers", "trl", "vllm")
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in names else None

    def create_module(self, spec):
        return Library(spec.name)

    def exec_module(self, module): ...

class Unread(settings.Settings):
    def __init__(self):
        sys.exit("".join(traceback.format_stack(limit=12)))

sys.meta_path.insert(0, Libraries())
settings.Settings = Unread
for name in ("tracemill", "db", "producer", "workers", "trainer", "cli"):
    for module in pkgutil.walk_packages(importlib.import_module(name).__path__, f"{name}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print("imported", len(sys.modules))
settings.settings()
"""


def in_force(folder: Path, *flags: str) -> dict[str, dict[str, Any]]:
    rows = json.loads(succeed(folder, *flags, "config", "--json"))
    return {row["setting"]: row for row in rows}


def test_the_file_of_the_config_flag_is_in_force(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text("generate_concurrency = 7\n")
    (tmp_path / "tracemill.toml").write_text("generate_concurrency = 5\n")
    row = in_force(tmp_path, "--config", "other.toml")["generate_concurrency"]
    assert (row["value"], row["from"]) == (7, str(file))


def test_the_folder_of_the_data_dir_flag_is_in_force(tmp_path: Path) -> None:
    row = in_force(tmp_path, "--data-dir", "X")["data_dir"]
    assert (row["value"], row["from"]) == (str(tmp_path / "X"), "environment")


def test_a_stack_starts_in_the_folder_of_the_data_dir_flag(tmp_path: Path) -> None:
    flags = ("--data-dir", "X")
    try:
        rows = json.loads(succeed(tmp_path, *flags, "up", "--services-only", "--json", seconds=120))
        assert {row["name"]: row["state"] for row in rows} == {"postgres": "RUNNING", "redis": "RUNNING"}
        assert [path.name for path in tmp_path.iterdir()] == ["X"]
        assert json.loads(succeed(tmp_path, *flags, "jobs", "list", "--json")) == []
        assert "No nodes replied" in tracemill(tmp_path, *flags, "celery", "status").stderr
    finally:
        succeed(tmp_path, *flags, "down")


def test_no_module_of_ours_reads_the_settings_when_it_is_imported(tmp_path: Path) -> None:
    command = [sys.executable, "-c", IMPORT_ALL]
    ended = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert "imported" in ended.stdout, ended.stderr
    assert "return Settings()" in ended.stderr  # the output for a module that reads them
