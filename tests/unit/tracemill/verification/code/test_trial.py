"""The tests' end of the pipe, with a program that sends whatever it wants."""

import json
import os
import subprocess

import pytest

from tracemill.verification.code.trial import tests
from tracemill.verification.code.trial.objects import Stop
from tracemill.verification.code.trial.wire import Connection


@pytest.mark.parametrize(
    "value",
    [
        {"t": "Decimal", "v": "x"},
        {"t": "Fraction", "v": "1/0"},
        {"t": "timedelta", "v": [10**12]},
        {"t": "object", "v": [float("inf"), True, True, ""]},
        {"t": "dict", "v": [[[1], 2]]},
        {"t": "unknown"},
    ],
)
def test_a_program_that_sends_no_data_is_wrong_and_raises_nothing(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stop, "first", None)
    replies, program = os.pipe()
    os.write(program, json.dumps({"value": value, "changed": [], "printed": ""}).encode() + b"\n")
    child = subprocess.Popen(["true"])
    trial = tests.Tests(Connection(replies, program), child.pid)
    with pytest.raises(Stop) as stop:
        trial.ask("call")
    assert stop.value.correct is False
