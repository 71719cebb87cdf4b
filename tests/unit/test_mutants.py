"""The mutation tool: which changes it makes, and that it tells a test that notices from one that does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.installed import environment
from tests.mutants import mutants

PYTHON = [
    ("a < b", ["a <= b"]), ("a == b", ["a != b"]), ("a is not None", ["a is None"]), ("a not in b", ["a in b"]),
    ("x = a + b - c", ["x = a + b + c", "x = a - b - c"]), ("(a) * (b)", ["(a) / (b)"]), ("a += b", ["a -= b"]),
    ("a and b", ["a or b"]), ("not a", ["a"]), ("x = True", ["x = False"]), ("x = 1", ["x = 2"]),
    ("x = 'é', 0.5", ["x = 'é', 1.5"]), ("a < b <= c", ["a < b < c", "a <= b <= c"]),
    ("'not 1 < 2'", []), ("f'{1 < 2}'", []), ("x: Literal[1] = y", []),
]  # fmt: skip

SQL = [
    ("where a < b\n", ["where a <= b\n"]), ("where a = b or c\n", ["where a <> b or c\n", "where a = b and c\n"]),
    ("  and x is null\n", ["", "  or x is null\n"]), ("set a = b\n", []), ("where x::int in (y) -- and z\n", []),
    ("where a between b and c\n", []), ("on a ->> 'k' <> b\n", ["on a ->> 'k' = b\n"]),
    ("count(*) filter (where a >= b)\n", ["count(*) filter (where a > b)\n"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "source", "changed"), [("a.py", *case) for case in PYTHON])
def test_every_change_of_a_python_line_is_known(name: str, source: str, changed: list[str]) -> None:
    assert sorted(mutant.applied(source) for mutant in mutants(Path(name), source)) == sorted(changed)


@pytest.mark.parametrize(("name", "source", "changed"), [("a.sql", *case) for case in SQL])
def test_every_change_of_an_sql_line_is_known(name: str, source: str, changed: list[str]) -> None:
    assert sorted(mutant.applied(source) for mutant in mutants(Path(name), source)) == sorted(changed)


def test_a_survivor_is_shown_with_its_line_and_the_tree_stays_as_it_is(tmp_path: Path) -> None:
    module, test = tmp_path / "ages.py", tmp_path / "test_ages.py"
    module.write_text("def adult(age):\n    return age >= 18\n")
    test.write_text("from ages import adult\n\ndef test_adult():\n    assert adult(19) and not adult(17)\n")
    output = _output(tmp_path, "--count=9")
    assert "2 of 2 possible mutants: 0 killed, 2 survived" in output
    assert "ages.py\n@@ -2 +2 @@\n-    return age >= 18\n+    return age > 18" in output
    test.write_text(test.read_text().replace("19", "18"))
    assert "2 of 2 possible mutants: 2 killed, 0 survived" in _output(tmp_path, "--count=9")
    assert module.read_text() == "def adult(age):\n    return age >= 18\n"


def test_tests_that_fail_beforehand_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ages.py").write_text("ADULT = 18\n")
    (tmp_path / "test_ages.py").write_text("def test_nothing():\n    assert False\n")
    assert _output(tmp_path) == "The tests fail on the unchanged tree.\n"


def _output(folder: Path, *options: str) -> str:
    script = ROOT / "tests" / "mutants.py"
    command = [sys.executable, script, "ages.py", "--tests", "test_ages.py", *options]
    variables = environment()
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False).stdout
