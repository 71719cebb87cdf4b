"""Check code: run the program of a trace against the tests of its question.

A program must not be able to fake success, so it has no access to its tests:

- *input and output*: it gets only the input. Its output is compared outside the sandbox.
- *assertions*: they run in a process that the program cannot reach, and call the program over a pipe (`trial`).
"""

import json
import re
from time import monotonic

from tracemill import thinking
from tracemill.errors import TracemillError
from tracemill.verification.code import trial
from tracemill.verification.code.sandbox import Run, Sandbox

MAX_PROGRAM = 200_000  # characters of a program, or of its question
MAX_SECONDS = 60.0  # for all the tests of one program
MAX_REASON = 120  # characters of a reason or of quoted output

_PYTHON = frozenset({"python", "py", "python3", "python 3", "{.python}", "pycon"})
_FENCE = re.compile(r"^[ \t]{0,12}(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)
_CODE_LINE = re.compile(
    r"[ \t#@)\]}]|(?:async )?def \w|class \w|from [\w.]+ import |import \w|(?:if|elif|for|while|with|match|try|except|"
    r"else|finally)\b[^\n]{0,500}:|(?:return|raise|assert|pass|del|global)\b|[\w.]{1,80}\(|"
    r"\w[\w.,\[\]'\" ]{0,80}[-+*/]?=[^=]"
)
_CODE_SIGN = re.compile(
    r"^[ \t]*(?:(?:async )?def \w{1,80}\(|class \w{1,80}[:(]|from [\w.]{1,80} import |import \w|return\b|print\()",
    re.MULTILINE,
)


def program(text: str) -> str | None:
    """Return the program in `text`; None if there is none. Takes linear time.

    It is the last fenced block marked as Python. Without one, it is the last block without a mark; without any block,
    the whole text if all of it is code. Thoughts do not count.
    """
    answer = thinking.split(text).answer.replace("\r\n", "\n").replace("\0", "")
    last_blocks: dict[str, str] = {}
    fence, mark, start = "", "", 0
    for match in _FENCE.finditer(answer):
        if not fence:
            fence, mark, start = match[1], match[2].strip().lower(), match.end() + 1
        elif match[1].startswith(fence) and not match[2].strip():
            _keep(last_blocks, mark, answer[start : match.start()].removesuffix("\n"))
            fence = ""
    if fence:  # the text ends inside a block
        _keep(last_blocks, mark, answer[start:])
    if start:
        return last_blocks.get("python", last_blocks.get(""))
    is_code = _CODE_SIGN.search(answer) and all(_CODE_LINE.match(line) for line in answer.split("\n") if line.strip())
    return answer if is_code else None


def _keep(last_blocks: dict[str, str], mark: str, block: str) -> None:
    if block.strip():
        last_blocks["python" if mark in _PYTHON else mark] = block


def check_code(sandbox: Sandbox, text: str, tests: str, question: str | None = None) -> tuple[bool | None, str]:
    """Does the program in `text` pass `tests`? Returns a verdict and its proof.

    `tests` is one of these:

    - Python with `assert`, with `check(candidate)` (HumanEval), or with functions named test…;
    - a JSON list of such texts;
    - a JSON list of `{"input": …, "output": …}`: text for stdin, and the expected stdout without trailing white space.

    `question` may hold the header that the program completes, and helpers of the tests. The verdict is None, with the
    reason, if the tests cannot decide: no sandbox, no time or memory left, a missing library.
    """
    source = program(text)
    if source is None:
        return False, "no program found"
    if (longest := max(map(len, (source, question or "")))) > MAX_PROGRAM:
        return None, f"refused: too long ({longest} characters, at most {MAX_PROGRAM})"
    if sandbox.refusal:
        return None, f"no sandbox: {sandbox.refusal}"
    try:
        parsed_tests = json.loads(tests) if tests.lstrip().startswith("[") else tests
    except (ValueError, RecursionError):
        parsed_tests = tests
    try:
        if isinstance(parsed_tests, str):
            return _run_tests(sandbox, source, parsed_tests, question)
        if isinstance(parsed_tests, list) and parsed_tests and all(isinstance(test, str) for test in parsed_tests):
            return _run_tests(sandbox, source, "\n".join(parsed_tests), question)
        if isinstance(parsed_tests, list) and parsed_tests and all(map(_is_pair, parsed_tests)):
            return _compare_output(sandbox, source, parsed_tests)
    except TracemillError as error:
        return None, f"no sandbox: {error}"
    return None, 'the tests are neither Python nor a list of {"input": …, "output": …}'


def _is_pair(test: object) -> bool:
    return isinstance(test, dict) and all(isinstance(test.get(name), str) for name in ("input", "output"))


def _compare_output(sandbox: Sandbox, source: str, tests: list[dict[str, str]]) -> tuple[bool | None, str]:
    end = monotonic() + MAX_SECONDS
    for number, test in enumerate(tests, 1):
        seconds_left = end - monotonic()
        if seconds_left <= 0:
            return None, f"timeout after {MAX_SECONDS:g} s"
        run = sandbox.run(source, test["input"], seconds=seconds_left)
        if reason := _reason_undecided(run):
            return None, reason
        if run.exit_code:
            return False, f"failed test {number}: {_shorten(_last_line(run.err) or f'exit code {run.exit_code}')}"
        if _trimmed_lines(run.out) != _trimmed_lines(test["output"]):
            return False, f"failed test {number}: printed {_shorten(run.out)!r}, expected {_shorten(test['output'])!r}"
    return True, f"passed {len(tests)} of {len(tests)} tests"


def _run_tests(sandbox: Sandbox, source: str, tests: str, question: str | None) -> tuple[bool | None, str]:
    run = sandbox.run(trial.source(), job=json.dumps({"source": source, "tests": tests, "question": question or ""}))
    if run.report:
        verdict = json.loads(run.report)
        return verdict["correct"], _shorten(verdict["proof"])
    return None, _reason_undecided(run) or f"the tests ended by themselves: {_shorten(_last_line(run.err))}"


def _reason_undecided(run: Run) -> str | None:
    """Return why this run does not decide about the program; None if it does."""
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


def _trimmed_lines(output: str) -> list[str]:
    return [line.rstrip() for line in output.rstrip().split("\n")]


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]


def _shorten(text: str) -> str:
    line = " ".join(text[: 4 * MAX_REASON].split())
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 1] + "…"
