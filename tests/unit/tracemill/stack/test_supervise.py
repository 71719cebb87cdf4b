import json
import os
import subprocess
import sys
from configparser import RawConfigParser
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tracemill.errors import UsageError
from tracemill.stack import failures, launch, supervise
from tracemill.stack.state import Folder, Program, folder_of

A_UNIT = supervise.Unit(name="worker", command=["true"], environment={"TOKEN": "secret"}, directory="/")


def a_folder(tmp_path: Path) -> Folder:
    folder = folder_of(tmp_path / "data")
    folder.create()
    return folder


def sections(folder: Folder, *units: supervise.Unit) -> RawConfigParser:
    parser = RawConfigParser()
    parser.read_string(supervise.configuration(folder.root / "run", folder.root, units))
    return parser


def test_the_configuration_shows_no_environment_value_and_no_command(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    unit = replace(A_UNIT, command=["run", "--password", "hidden"])
    text = supervise.configuration(folder.root / "run", folder.root, [unit])
    assert "secret" not in text
    assert "hidden" not in text


def test_data_services_start_first_and_stop_last(tmp_path: Path) -> None:
    service = replace(A_UNIT, name="postgres", priority=supervise.DATA_SERVICES_FIRST)
    parser = sections(a_folder(tmp_path), A_UNIT, service)
    assert parser.getint("program:postgres", "priority") < parser.getint("program:worker", "priority")


@pytest.mark.parametrize(
    "change", [{"command": ["false"]}, {"environment": {"TOKEN": "other"}}, {"stop_seconds": 1}, {"restart": False}]
)
def test_each_change_of_a_unit_shows_in_its_section(tmp_path: Path, change: dict[str, object]) -> None:
    folder = a_folder(tmp_path)
    before = dict(sections(folder, A_UNIT)["program:worker"])
    after = dict(sections(folder, supervise.Unit(**{**asdict(A_UNIT), **change}))["program:worker"])
    assert before["environment"] != after["environment"]


def test_another_working_folder_does_not_change_a_unit(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    supervise.write_unit(folder, A_UNIT)
    supervise.write_unit(folder, replace(A_UNIT, directory="/tmp"))
    assert supervise.units(folder) == [A_UNIT]
    supervise.write_unit(folder, replace(A_UNIT, directory="/tmp", stop_seconds=1))
    assert supervise.units(folder) == [replace(A_UNIT, directory="/tmp", stop_seconds=1)]


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a]", "../a", "a\n", "postgres", "redis", "supervisord", "é"])
def test_an_invalid_program_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a program"):
        supervise.program_unit(Program(name, ["true"]))


def test_a_program_without_a_command_is_refused() -> None:
    with pytest.raises(UsageError, match="program idle has no command"):
        supervise.program_unit(Program("idle", []))


def test_removed_units_leave_no_file(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    supervise.write_unit(folder, A_UNIT)
    supervise.write_unit(folder, replace(A_UNIT, name="other"))
    (folder.units / "other.starts").write_text("1.0\n")
    supervise.keep_only(folder, ["worker"])
    assert [path.name for path in folder.units.iterdir()] == ["worker.json"]


def launched(folder: Folder, unit: supervise.Unit) -> "subprocess.CompletedProcess[str]":
    supervise.write_unit(folder, unit)
    return subprocess.run(
        [sys.executable, "-P", launch.__file__, f"units/{unit.name}.json"],
        cwd=folder.root,
        env={**os.environ, "INHERITED": "yes"},
        capture_output=True,
        text=True,
    )


def test_the_launcher_passes_arguments_and_environment_unchanged(tmp_path: Path) -> None:
    odd = """ "it's" ; # %(x)s $HOME \\ \n é"""
    values = "[sys.argv[1], os.environ['ODD'], os.environ['INHERITED'], os.getcwd()]"
    show = f"import json, os, sys; print(json.dumps({values}))"
    unit = replace(A_UNIT, command=[sys.executable, "-c", show, odd], environment={"ODD": odd}, directory=str(tmp_path))
    done = launched(a_folder(tmp_path), unit)
    assert json.loads(done.stdout) == [odd, odd, "yes", str(tmp_path)]


def test_the_launcher_counts_starts_and_reports_a_failed_start(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    unit = replace(A_UNIT, command=["/nowhere/program"])
    assert failures.start_times(folder, "worker") == []
    first, second = launched(folder, unit), launched(folder, unit)
    assert first.returncode == second.returncode == 1
    assert "/nowhere/program cannot be started in /: No such file or directory" in first.stderr
    assert len(failures.start_times(folder, "worker")) == 2


def test_frequent_deaths_make_a_program_hopeless_and_rare_deaths_do_not() -> None:
    often = [float(second) for second in range(0, 20 * launch.MANY_STARTS, 20)]
    assert launch.is_hopeless(often, now=often[-1] + 20)
    assert not launch.is_hopeless(often[:-1], now=often[-1])
    seldom = [float(hour * 3600) for hour in range(1000)]
    assert not launch.is_hopeless(seldom, now=seldom[-1] + 1)
