"""The programs of the local stack that `up` restarts when a setting has changed."""

import re

import pytest

from tests import ROOT
from tracemill.settings import Settings
from tracemill.stack import Stack
from tracemill.stack.programs import CONFIGURED, READERS, programs

READS = re.compile(r"settings\(\)\.(\w+)")


def test_the_readers_of_every_setting_are_known() -> None:
    assert set(READERS) == set(Settings.model_fields)
    assert {program for programs in READERS.values() for program in programs} == set(CONFIGURED)


@pytest.mark.parametrize(
    ("modules", "programs"),
    [
        ("producer/feeder.py", {"producer"}),
        ("workers/generate.py", {"generate"}),
        ("cli/workers.py", {"generate"}),
        ("workers/verify.py", {"generate", "verify"}),  # a generate worker with a judge verifies
        ("workers/shutdown.py", {"generate", "verify", "train"}),
        ("trainer/**/*.py", {"train"}),
        ("tracemill/stack/flower.py", {"flower"}),
        ("tracemill/celery.py", {"producer", "generate", "verify", "train", "flower"}),
    ],
)
def test_a_setting_that_a_program_reads_restarts_the_program(modules: str, programs: set[str]) -> None:
    read = {name for file in ROOT.glob(modules) for name in READS.findall(file.read_text(encoding="utf-8"))}
    assert read
    assert {name for name in read if not programs <= set(READERS[name])} == set()


def test_further_variables_reach_every_program() -> None:
    """A running stack restarts a program whose variables have changed."""
    stack = Stack(1, "p", "r", 2, "p", flower_port=3, flower_password="p", run_dir="run")
    further = {"TRACEMILL_MODELS__TEACHER__MODEL": "larger"}
    chosen = programs(stack, further)
    assert {program.name for program in chosen} == {"producer", "generate", "verify", "train", "flower"}
    assert all(further.items() <= program.environment.items() for program in chosen)
    assert not any(further.items() <= program.environment.items() for program in programs(stack))
