"""What the sandbox runs first: start the program's process, run the tests in this one, and report."""

import contextlib
import json
import os
import signal
import sys

from tracemill.verification.code.trial.objects import Stop
from tracemill.verification.code.trial.program import Program
from tracemill.verification.code.trial.tests import Tests
from tracemill.verification.code.trial.wire import Line

JOB, REPORT = 3, 4  # descriptors, see sandbox.Sandbox.run


def main() -> None:
    """Start the program's process, run the tests in this one, and report."""
    sys.set_int_max_str_digits(0)
    asked_in, asked_out = os.pipe()
    answered_in, answered_out = os.pipe()
    child = os.fork()
    if child == 0:
        for fd in (JOB, REPORT, asked_out, answered_in):
            os.close(fd)
        with contextlib.suppress(EOFError):
            Program(Line(asked_in, answered_out)).serve()
        os._exit(0)
    os.close(asked_in)
    os.close(answered_out)
    with open(JOB, "rb") as file:
        job = json.load(file)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    verdict: tuple[bool | None, str] = (None, "")
    with contextlib.suppress(Stop):
        verdict = True, Tests(Line(answered_in, asked_out), child).judge(**job)
    if Stop.first:  # also one that the tests caught
        verdict = Stop.first.correct, Stop.first.proof
    os.write(REPORT, json.dumps({"correct": verdict[0], "proof": verdict[1][:2000]}).encode())
    os._exit(0)
