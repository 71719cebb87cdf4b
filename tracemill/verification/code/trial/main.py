"""The entry point inside the sandbox."""

import contextlib
import json
import os
import signal
import sys

from tracemill.verification.code.trial.objects import Stop
from tracemill.verification.code.trial.program import Program
from tracemill.verification.code.trial.tests import Tests
from tracemill.verification.code.trial.wire import Connection

JOB, REPORT = 3, 4  # descriptors, see sandbox.Sandbox.run


def main() -> None:
    """Start the program's process, run the tests in this one, and report."""
    sys.set_int_max_str_digits(0)
    requests_in, requests_out = os.pipe()
    replies_in, replies_out = os.pipe()
    child = os.fork()
    if child == 0:
        for fd in (JOB, REPORT, requests_out, replies_in):
            os.close(fd)
        with contextlib.suppress(EOFError):
            Program(Connection(requests_in, replies_out)).serve()
        os._exit(0)
    os.close(requests_in)
    os.close(replies_out)
    with open(JOB, "rb") as file:
        job = json.load(file)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    verdict: tuple[bool | None, str] = (None, "")
    with contextlib.suppress(Stop):
        verdict = True, Tests(Connection(replies_in, requests_out), child).judge(**job)
    if Stop.first:  # even if the tests caught it
        verdict = Stop.first.correct, Stop.first.proof
    os.write(REPORT, json.dumps({"correct": verdict[0], "proof": verdict[1][:2000]}).encode())
    os._exit(0)
