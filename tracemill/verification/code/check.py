"""Code: the last program of a trace, run in the sandbox against its question's tests.

A program must not be able to fake success, so it never meets what it is judged by:

- *input and output*: it gets the input alone; what it printed is compared out here.
- *assertions*: they run in a process that the program cannot reach, and call it over a pipe (`trial`).
"""

import json
import re
from time import monotonic

from tracemill import thinking
from tracemill.errors import TracemillError
from tracemill.verification.code import trial
from tracemill.verification.code.sandbox import Run, Sandbox

MAX_PROGRAM = 200_000  # characters of a program, and of its question
MAX_SECONDS = 60.0  # for all the tests of one program
SHOWN = 120  # characters of a reason

_PYTHON = frozenset({"python", "py", "python3", "python 3", "{.python}", "pycon"})
_FENCE = re.compile(r"^[ \t]{0,12}(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
_CODE = re.compile(
    r"[ \t#@)\]}]|(?:async )?def \w|class \w|from [\w.]+ import |import \w|(?:if|elif|for|while|with|match|try|except|"
    r"else|finally)\b[^\n]{0,500}:|(?:return|raise|assert|pass|del|global)\b|[\w.]{1,80}\(|"
    r"\w[\w.,\[\]'\" ]{0,80}[-+*/]?=[^=]"
)
_TELLING = re.compile(
    r"^[ \t]*(?:(?:async )?def \w{1,80}\(|class \w{1,80}[:(]|from [\w.]{1,80} import |import \w|return\b|print\()",
    re.MULTILINE,
)


def program(text: str) -> str | None:
    """The program that `text` gives: its last fenced block marked as Python, else its last block without a mark, else
    the whole text if that is plainly code. Thoughts do not count. Takes linear time.
    """
    said = thinking.split(text).answer.replace("\r\n", "\n").replace("\0", "")
    last: dict[str, str] = {}
    fence, mark, start = "", "", 0
    for match in _FENCE.finditer(said):
        if not fence:
            fence, mark, start = match[1], match[2].strip().lower(), match.end() + 1
        elif match[1].startswith(fence) and not match[2].strip():
            _keep(last, mark, said[start : match.start()].removesuffix("\n"))
            fence = ""
    if fence:  # cut off
        _keep(last, mark, said[start:])
    if start:
        return last.get("python", last.get(""))
    plain = _TELLING.search(said) and all(_CODE.match(line) for line in said.split("\n") if line.strip())
    return said if plain else None


def _keep(last: dict[str, str], mark: str, block: str) -> None:
    if block.strip():
        last["python" if mark in _PYTHON else mark] = block


def check_code(sandbox: Sandbox, text: str, tests: str, question: str | None = None) -> tuple[bool | None, str]:
    """Does the program in `text` pass `tests`, and how is that known?

    `tests`: Python with `assert`, or that defines `check(candidate)` (HumanEval), or functions named test…; or a JSON
    list, either of such texts or of `{"input": …, "output": …}`: what is read from stdin and, but for trailing white
    space, written to stdout. `question` may hold the header that the program completes, and helpers of the tests.

    None: it cannot be told (no sandbox, no time or memory left, a library that is not there), with the reason.
    """
    found = program(text)
    if found is None:
        return False, "no program found"
    if (longest := max(map(len, (found, question or "")))) > MAX_PROGRAM:
        return None, f"refused: too long ({longest} characters, at most {MAX_PROGRAM})"
    if sandbox.refusal:
        return None, f"no sandbox: {sandbox.refusal}"
    try:
        given = json.loads(tests) if tests.lstrip().startswith("[") else tests
    except (ValueError, RecursionError):
        given = tests
    try:
        if isinstance(given, str):
            return _run_tests(sandbox, found, given, question)
        if isinstance(given, list) and given and all(isinstance(test, str) for test in given):
            return _run_tests(sandbox, found, "\n".join(given), question)
        if isinstance(given, list) and given and all(map(_is_pair, given)):
            return _compare_output(sandbox, found, given)
    except TracemillError as error:
        return None, f"no sandbox: {error}"
    return None, 'the tests are neither Python nor a list of {"input": …, "output": …}'


def _is_pair(test: object) -> bool:
    return isinstance(test, dict) and all(isinstance(test.get(name), str) for name in ("input", "output"))


def _compare_output(sandbox: Sandbox, found: str, tests: list[dict[str, str]]) -> tuple[bool | None, str]:
    end = monotonic() + MAX_SECONDS
    for number, test in enumerate(tests, 1):
        left = end - monotonic()
        if left <= 0:
            return None, f"timeout after {MAX_SECONDS:g} s"
        run = sandbox.run(found, test["input"], seconds=left)
        if undecided := _undecided(run):
            return None, undecided
        if run.exit_code:
            return False, f"failed test {number}: {_short(_last_line(run.err) or f'exit code {run.exit_code}')}"
        if _trimmed(run.out) != _trimmed(test["output"]):
            return False, f"failed test {number}: printed {_short(run.out)!r}, expected {_short(test['output'])!r}"
    return True, f"passed {len(tests)} of {len(tests)} tests"


def _run_tests(sandbox: Sandbox, found: str, tests: str, question: str | None) -> tuple[bool | None, str]:
    run = sandbox.run(trial.source(), job=json.dumps({"source": found, "tests": tests, "question": question or ""}))
    if run.report:
        verdict = json.loads(run.report)
        return verdict["correct"], _short(verdict["proof"])
    return None, _undecided(run) or f"the tests ended by themselves: {_short(_last_line(run.err))}"


def _undecided(run: Run) -> str | None:
    """Why this run says nothing about the program."""
    error = _last_line(run.err)
    if run.killed:
        return run.killed
    if run.exit_code and error.startswith("MemoryError"):
        return "out of memory"
    if run.exit_code in (128 + 9, 128 + 24):  # SIGKILL, SIGXCPU
        return f"killed: signal {run.exit_code - 128}"
    if run.exit_code and (missing := re.match(r"ModuleNotFoundError: No module named '([\w.]{1,80})'", error)):
        return f"needs the module {missing[1]}, which the sandbox does not have"
    return None


def _trimmed(output: str) -> list[str]:
    return [line.rstrip() for line in output.rstrip().split("\n")]


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def _short(text: str) -> str:
    line = " ".join(text[: 4 * SHOWN].split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
