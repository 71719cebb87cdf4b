"""`python -m benchmarks.fleet`: killed and frozen processes lose nothing, and nothing is stored twice."""

import json
import subprocess

import pytest

from benchmarks.common import environment
from tests.installed import environment as users_environment
from tracemill.interpreter import python

pytestmark = pytest.mark.integration


@pytest.mark.slow
def test_a_fleet_of_killed_and_frozen_processes_loses_nothing() -> None:
    done = subprocess.run(
        python("benchmarks.fleet", "--quick", "--json"),
        env=users_environment() | environment(),
        capture_output=True,
        text=True,
        timeout=580,
        check=True,
    )
    figures = json.loads(done.stdout.splitlines()[-1])["figures"]
    for size in (10, 100):
        assert (figures[f"lost_{size}"], figures[f"repeated_{size}"]) == (0, 0)
        assert figures[f"killed_{size}"] > 0
