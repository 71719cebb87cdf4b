"""Mutation testing: change one line of a copy of the tree, run tests, and report the changes that no test notices.

A survivor is either a hole in the tests or an equivalent change that no test can notice. Python files are changed at
comparisons, arithmetic, `and`, `or`, `not`, True, False and numbers; SQL files at comparisons, `and`, `or` and whole
conditions. Type annotations, f-strings and text are left alone. The working tree is never changed.

    make mutants FILES=tracemill/policy.py TESTS=tests/unit/tracemill/test_policy.py COUNT=50
"""

import argparse
import ast
import difflib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import hypothesis.strategies  # noqa: F401 (like pytest, imported once instead of for each mutant)
import pytest

SWAPS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"), ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "*"), ast.And: ("and", "or"), ast.Or: ("or", "and"),
}  # fmt: skip
SQL_SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "<>": "=", "=": "<>", "and": "or", "or": "and"}
SQL_OPERATOR = re.compile(r"(?<![-<>=!:|@?])(?:<=|>=|<>|<|>|=)(?![<>=@])|\b(?:and|or)\b", re.IGNORECASE)
SQL_CONDITION = re.compile(r"\s*(?:where|and|or|on|when|having|join)\b|.*\bfilter\b", re.IGNORECASE)
IGNORED = shutil.ignore_patterns(".git", ".venv", ".tracemill", ".*_cache", ".hypothesis", "*.egg-info")


class Mutant(NamedTuple):
    """The file `path` with `text` between the characters `start` and `end`."""

    path: Path
    start: int
    end: int
    text: str

    def applied(self, source: str) -> str:
        return source[: self.start] + self.text + source[self.end :]

    def diff(self, source: str) -> str:
        lines = difflib.unified_diff(source.splitlines(), self.applied(source).splitlines(), lineterm="", n=0)
        return "\n".join([f"{self.path}", *list(lines)[2:]])


def mutants(path: Path, source: str) -> list[Mutant]:
    """Every change of this file, in order."""
    edits = _sql(source) if path.suffix == ".sql" else _python(source)
    return [Mutant(path, *edit) for edit in sorted(set(edits))]


def _python(source: str) -> Iterator[tuple[int, int, str]]:
    lines = source.splitlines(keepends=True)
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line))

    def offset(line: int, column: int) -> int:
        return begins[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def start(node: ast.expr | ast.stmt) -> int:
        return offset(node.lineno, node.col_offset)

    def end(node: ast.expr | ast.stmt) -> int:
        return offset(node.end_lineno or 0, node.end_col_offset or 0)

    def swap(left: ast.expr, operator: ast.AST, right: ast.expr) -> Iterator[tuple[int, int, str]]:
        old, new = SWAPS.get(type(operator), ("", ""))
        between = source[end(left) : start(right)]
        if old and old in between:
            yield end(left), start(right), between.replace(old, new, 1)

    for node in _nodes(ast.parse(source)):
        match node:
            case ast.Compare(left, operators, rights):
                for first, operator, second in zip([left, *rights], operators, rights, strict=False):
                    yield from swap(first, operator, second)
            case ast.BoolOp(operator, values):
                for first, second in pairwise(values):
                    yield from swap(first, operator, second)
            case ast.BinOp(left, operator, right) | ast.AugAssign(left, operator, right):
                yield from swap(left, operator, right)
            case ast.UnaryOp(ast.Not()):
                yield start(node), start(node) + len("not "), ""
            case ast.Constant(bool() as value):
                yield start(node), end(node), str(not value)
            case ast.Constant(int() | float() as value):
                yield start(node), end(node), str(value + 1)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below this one, without f-strings, whose inner positions are not exact, and annotations."""
    if isinstance(node, ast.JoinedStr):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from _nodes(child)


def _sql(source: str) -> Iterator[tuple[int, int, str]]:
    begin = 0
    for line in source.splitlines(keepends=True):
        code = line.partition("--")[0]
        if SQL_CONDITION.match(code):
            for match in SQL_OPERATOR.finditer(code):
                if "between" not in code.lower() or match[0].lower() != "and":
                    yield begin + match.start(), begin + match.end(), SQL_SWAPS[match[0].lower()]
            if re.match(r"\s*and\b", code, re.IGNORECASE) and code.count("(") == code.count(")") and ";" not in code:
                yield begin, begin + len(line), ""
        begin += len(line)


def passes(tree: Path, tests: list[str], seconds: float) -> bool:
    """Return True if the tests pass in this tree in time. They run in a fork, so pytest is imported only once."""
    if (child := os.fork()) == 0:
        os.setsid()
        os.chdir(tree)
        # Python would reuse the compiled file of another mutant with the same size and second.
        os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        sys.path[0] = str(tree)
        for output in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output)
        os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={tree}-files", *tests]))
    deadline = time.monotonic() + seconds
    while not (status := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < deadline:
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # hanging tests and their remaining processes
    if not status[0]:
        os.waitpid(child, 0)
    return status == (child, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description="Change one line at a time and check whether the tests notice.")
    parser.add_argument("files", nargs="+", type=Path, help="Python and SQL files to change")
    parser.add_argument("--tests", nargs="+", required=True, help="test files, and tests such as FILE::NAME")
    parser.add_argument("--count", type=int, default=20, help="changes to draw")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other changes")
    options = parser.parse_args()
    sources = {path: path.read_text(encoding="utf-8") for path in options.files}
    every = [mutant for path, source in sources.items() for mutant in mutants(path, source)]
    drawn = random.Random(options.seed).sample(every, min(options.count, len(every)))
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder, "tree")
        shutil.copytree(Path.cwd(), copy, ignore=IGNORED, symlinks=True)
        started = time.monotonic()
        if not passes(copy, options.tests, 1800):
            print("The tests fail on the unchanged tree.")
            return 2
        limit = 60 + 5 * (time.monotonic() - started)
        for number, mutant in enumerate(drawn, 1):
            source = sources[mutant.path]
            (copy / mutant.path).write_text(mutant.applied(source), encoding="utf-8")
            survived = passes(copy, options.tests, limit)
            (copy / mutant.path).write_text(source, encoding="utf-8")
            survivors += [mutant] * survived
            print(f"{number}/{len(drawn)} {'SURVIVED' if survived else 'killed'} {mutant.diff(source)}", flush=True)
    killed = len(drawn) - len(survivors)
    print(f"{len(drawn)} of {len(every)} possible mutants: {killed} killed, {len(survivors)} survived")
    for mutant in survivors:
        print(f"\n{mutant.diff(sources[mutant.path])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
