"""The steps of docs/extending.md, followed literally in a copy of the packages."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from db.session import engine
from tests import ROOT
from tests.integration.factory import change
from tracemill.stack import Stack

pytestmark = pytest.mark.integration

PACKAGES = ("tracemill", "db", "migrations", "producer", "workers", "trainer", "cli", "docs")
BLOCK = re.compile(r"```python\n# (\S+\.py)[^\n]*\n(.*?)```", re.DOTALL)
SQUARES = "squares:?size=3"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the packages with the documented extensions, each in its documented file."""
    folder = tmp_path_factory.mktemp("extended")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    last = max(path.name[:4] for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))
    blocks = dict(BLOCK.findall((ROOT / "docs" / "extending.md").read_text(encoding="utf-8")))
    assert len(blocks) == 7
    for name, content in blocks.items():
        if name == "tracemill/scores.py":
            table = (folder / name).read_text(encoding="utf-8")
            (folder / name).write_text(table.replace("SCORES = (\n", f"SCORES = (\n{content}", 1), encoding="utf-8")
        else:
            new = f"{int(last) + 1:04}"
            content = content.replace("NNNN", new).replace("MMMM", last)
            (folder / name.replace("NNNN", new)).write_text(content, encoding="utf-8")
    for package, module in (("trainer/objectives", "conclusion"), ("producer/sources", "squares")):
        init = folder / package / "__init__.py"
        imports = re.sub(
            r"^(from \S+ import (?:\(  # noqa: F401\s+|(?=[\w, ]+# noqa)))(\w+,)",
            rf"\1{module}, \2",
            init.read_text("utf-8"),
            count=1,
            flags=re.M,
        )
        assert module in imports
        init.write_text(imports, encoding="utf-8")
    return folder


def python(tree: Path, code: str, **environment: str) -> str:
    """Run code on the copy; return its output."""
    variables = os.environ | environment | {"PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, env=variables, capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_method_is_one_file(tree: Path) -> None:
    code = "from cli.main import main\nimport sys\nsys.argv = ['tracemill', 'methods', 'plan']\nmain()"
    assert "First write a short plan. Then carry it out step by step." in python(tree, code)


def test_a_source_is_one_file_and_one_import(tree: Path) -> None:
    code = (
        "from producer.sources import open_source\n"
        f"print([(q.text, q.gold) for q in open_source({SQUARES!r}, mapping={{}})][-1])"
    )
    assert python(tree, code) == "('What is 3 times 3?', '9')\n"


def test_an_objective_is_one_file_and_one_import(tree: Path) -> None:
    code = (
        "import sys\n"
        "from trainer.fit_spec import FitSpec\n"
        "from trainer.objectives import find\n"
        "fit = FitSpec(objective='conclusion', conclusion={'steps': 2})\n"
        "print(find(fit.objective).name, fit.options.steps, 'torch' in sys.modules)"
    )
    assert python(tree, code) == "conclusion 2 False\n"


def test_a_scorer_is_one_function_and_one_entry_point(tree: Path) -> None:
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    group = re.search(r'"(tracemill\.scorers)"\]\n(\w+) = "(\S+)"', page)
    assert group is not None
    (tree / "zoo-1.0.dist-info").mkdir()
    (tree / "zoo-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: zoo\nVersion: 1.0\n")
    (tree / "zoo-1.0.dist-info" / "entry_points.txt").write_text(f"[{group[1]}]\n{group[2]} = {group[3]}\n")
    code = (
        "from tracemill.verification.scorers import Scoring, judge\n"
        "scoring = Scoring('zoo', {'metadata': {'animals': ['dog']}})\n"
        "print(judge(['Dog'], scoring), judge(['cow'], scoring))"
    )
    assert python(tree, code) == "(True, 'zoo scored 1') (False, 'zoo scored 0')\n"


def test_a_score_is_one_row_and_one_migration(tree: Path, stack: Stack) -> None:
    change("create schema extended")
    url = engine().url.update_query_dict({"options": "-csearch_path=extended"}).render_as_string(hide_password=False)
    code = (
        "import os, runpy\n"
        "from sqlalchemy import create_engine, text\n"
        "from db import migrate\n"
        "from db.queries import Q\n"
        "from tracemill.policy import Policy\n"
        "from tracemill.scores import scores_of\n"
        "from tracemill.verification.checks import Item, check\n"
        "url = os.environ['EXTENDED']\n"
        "migrate.upgrade(url)\n"
        "print(migrate.differences(url))\n"
        "print(scores_of(check(Item('We add 2 + 3 = 5. The answer is 5.')))['words'])\n"
        "print(Policy(at_most={'words': 400}).at_most, 'words' in Q['insert_verdicts'].text)\n"
        "with create_engine(url).connect() as connection:\n"
        "    print(connection.execute(text('select words from trace_scores')).all())\n"
        "print('| `words` |' in runpy.run_path('docs/make_scores.py')['page']())\n"
    )
    try:
        lines = python(tree, code, EXTENDED=url).splitlines()
    finally:
        change("drop schema extended cascade")
    assert lines == ["[]", "11", "{'words': 400.0} True", "[]", "True"]
