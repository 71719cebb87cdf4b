"""The house: which way imports may point, and how large a file may be."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from tests import ROOT

PACKAGES = ("tracemill", "db", "migrations", "producer", "workers", "trainer", "web", "cli", "benchmarks", "tests")


def test_no_import_points_up() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([sys.executable, lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_no_file_is_over_400_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    ]
    assert long == []


def test_no_test_file_imports_a_heavy_package_when_it_is_collected() -> None:
    """Each worker of pytest collects all files."""
    heavy = ["torch", "transformers", "vllm", "datasets", "sympy", "math_verify", "trl", "peft"]
    ours = [f"trainer.{path.stem}" for path in _importers(ROOT / "trainer", "*.py", heavy)]
    assert "trainer.student" in ours
    assert _importers(ROOT / "tests", "test_*.py", heavy + ours) == []


def _importers(folder: Path, pattern: str, modules: list[str]) -> list[Path]:
    """The files that import one of the modules at their top level."""
    imports = re.compile(rf"(import|from) ({'|'.join(map(re.escape, modules))})\b")
    texts = {path: path.read_text(encoding="utf-8") for path in folder.rglob(pattern)}
    return [
        path
        for path, text in texts.items()
        if imports.search(text) and any(imports.match(ast.unparse(node)) for node in ast.parse(text).body)
    ]


def test_a_command_imports_only_what_it_uses() -> None:
    code = (
        "import sys\n"
        "from cli.main import Commands\n"
        "Commands()['config']\n"
        "unused = {'celery', 'kombu', 'redis', 'sqlalchemy', 'psycopg', 'cli.train'} & set(sys.modules)\n"
        "assert not unused, unused"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_command_line_and_the_feeder_import_nothing_heavy() -> None:
    code = (
        "import sys, producer.feeder, tracemill.celery, workers.generate, workers.verify, trainer.service\n"
        "from cli.main import Commands\n"
        "dict(Commands())\n"
        "heavy = {'torch', 'transformers', 'vllm', 'datasets', 'sympy', 'math_verify', 'trl'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
