"""Check code: run the program of a trace against the tests of its question.

A program must not be able to fake success, so it has no access to its tests:

- *input and output*: it gets only the input. Its output is compared outside the sandbox.
- *assertions*: they run in a process that the program cannot reach, and call the program over a pipe (`trial`).

A program cannot choose to be undecided either: one that ends itself, or exceeds its memory or its output, is wrong.
"""

import json
import re
from time import monotonic

from tracemill.errors import TracemillError
from tracemill.verification.code import trial
from tracemill.verification.code.blocks import other_language, program
from tracemill.verification.code.gold_tests import InputOutput, PythonTests, read_tests
from tracemill.verification.code.sandbox import Run, Sandbox
from tracemill.verification.code.trial.question import imports

MAX_PROGRAM = 200_000  # characters of a program, or of its question
MAX_SECONDS = 60.0  # for all the tests of one program
MAX_REASON = 120  # characters of a reason or of quoted output


def check_code(sandbox: Sandbox, text: str, tests: str, question: str | None = None) -> tuple[bool | None, str]:
    """Does the program in `text` pass `tests`? Returns a verdict and its proof.

    `tests`: see `gold_tests.read_tests`. `question` may hold the header that the program completes, and helpers of the
    tests. The verdict is None, with the reason, if the tests cannot decide: no sandbox, no time left, a missing
    library, another language.
    """
    parsed_tests = read_tests(tests, question)
    source = program(text, parsed_tests.text if isinstance(parsed_tests, PythonTests) else "")
    if source is None:
        if language := other_language(text):
            return None, f"not run: the program is in {language}, not in Python"
        return False, "no program found"
    if (longest := max(map(len, (source, question or "")))) > MAX_PROGRAM:
        return None, f"refused: too long ({longest} characters, at most {MAX_PROGRAM})"
    if sandbox.refusal:
        return None, f"no sandbox: {sandbox.refusal}"
    try:
        if isinstance(parsed_tests, PythonTests):
            return _run_tests(sandbox, source, parsed_tests, question)
        if isinstance(parsed_tests, InputOutput):
            return _compare_output(sandbox, source, parsed_tests)
    except TracemillError as error:
        return None, f"no sandbox: {error}"
    return None, 'the tests are neither Python nor a list of {"input": …, "output": …}'


def _compare_output(sandbox: Sandbox, source: str, tests: InputOutput) -> tuple[bool | None, str]:
    end = monotonic() + MAX_SECONDS
    for number, (stdin, expected) in enumerate(tests.pairs, 1):
        seconds_left = end - monotonic()
        if seconds_left <= 0:
            return None, f"timeout after {MAX_SECONDS:g} s"
        run = sandbox.run(source, stdin, seconds=seconds_left)
        if ended := _ended(run, source):
            return ended
        if run.exit_code:
            return False, f"failed test {number}: {_shorten(_last_line(run.err) or f'exit code {run.exit_code}')}"
        if _trimmed_lines(run.out) != _trimmed_lines(expected):
            return False, f"failed test {number}: printed {_shorten(run.out)!r}, expected {_shorten(expected)!r}"
    return True, f"passed {len(tests.pairs)} of {len(tests.pairs)} tests"


def _run_tests(sandbox: Sandbox, source: str, tests: PythonTests, question: str | None) -> tuple[bool | None, str]:
    job = {"source": source, "tests": tests.text, "question": question or "", "entry": tests.entry}
    run = sandbox.run(trial.source(), job=json.dumps(job))
    if run.report:
        verdict = json.loads(run.report)
        return verdict["correct"], _shorten(verdict["proof"])
    return _ended(run, source) or (None, f"the tests ended by themselves: {_shorten(_last_line(run.err))}")


def _ended(run: Run, source: str) -> tuple[bool | None, str] | None:
    """Return the verdict on a run that reached a limit or lacks a module; None for any other run."""
    error = _last_line(run.err)
    if run.killed:
        return (None if run.killed.startswith("timeout") else False), run.killed
    if run.exit_code and error.startswith("MemoryError"):
        return False, "out of memory"
    if run.exit_code in (128 + 9, 128 + 24):  # SIGKILL, SIGXCPU, which no program can send itself
        return None, f"killed: signal {run.exit_code - 128}"
    missing = re.match(r"ModuleNotFoundError: No module named '(\w{1,80})", error) if run.exit_code else None
    if missing and imports(source, missing[1]):
        return None, f"needs the module {missing[1]}, which the sandbox does not have"
    return None


def _trimmed_lines(output: str) -> list[str]:
    return [line.rstrip() for line in output.rstrip().split("\n")]


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def _shorten(text: str) -> str:
    line = " ".join(text[: 4 * MAX_REASON].split())
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 1] + "…"
