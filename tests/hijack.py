"""A folder of modules that no process may import, named like our modules and our dependencies."""

import subprocess
import sys
from pathlib import Path

from tests.installed import environment

MODULES = (
    *("cli", "selectors", "celery", "vllm", "flower", "redis", "torch", "transformers", "sympy", "psycopg"),
    "flowerconfig",  # Flower runs it as its configuration
)
PACKAGES = ("db", "workers", "trainer", "web", "producer", "tracemill", "migrations", "benchmarks")
#: The file to which each imported module writes its name.
WITNESS = "imported"

TRAP = """
import sys
with open({witness!r}, "a") as file:
    print(__name__, "in", sys.orig_argv, file=file)
raise RuntimeError("a module of the current folder was imported")
"""
#: Imports each module that is named on the command line.
IMPORT_EACH = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(RuntimeError):
        importlib.import_module(name)
"""


def lay_traps(folder: Path) -> Path:
    """Write the modules and check that they work; return the path of the file that must not appear."""
    witness = folder / WITNESS
    code = TRAP.format(witness=str(witness))
    for name in MODULES:
        (folder / f"{name}.py").write_text(code)
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(code)
    names = (*MODULES, *PACKAGES)
    subprocess.run([sys.executable, "-c", IMPORT_EACH, *names], cwd=folder, env=environment(), check=True)
    caught = {line.split()[0] for line in witness.read_text().splitlines()}
    assert caught == {*MODULES, *PACKAGES}
    witness.unlink()
    return witness


def caught(witness: Path) -> str:
    """The imported modules with their processes; empty if there are none."""
    return witness.read_text() if witness.exists() else ""
