"""The programs of the local stack that `up` restarts when a setting has changed."""

import re

import pytest

from tests import ROOT
from tracemill.settings import Settings
from tracemill.stack.programs import CONFIGURED, READERS

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
