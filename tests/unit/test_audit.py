"""`make check-deps` calls nothing free of vulnerabilities that the advisory service has not examined."""

import json
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.audit import CLEAN, FILES, NOT_EXAMINED, VULNERABLE, examine, pins_of

#: pip-audit with these answers by the name of a package; without an answer for a package it fails.
AUDIT = """
import json, sys
known, rows = json.loads(sys.argv[1]), []
for line in open(sys.argv[2].partition("=")[2]):
    name, _, version = line.strip().partition("==")
    if name not in known:
        sys.exit("ConnectionError: no route to host")
    rows.append({"name": name, "version": version, **known[name]})
print(json.dumps({"dependencies": rows, "fixes": []}))
sys.exit(any(row.get("vulns") for row in rows))
"""
BAD = {"vulns": [{"id": "CVE-1", "fix_versions": ["2.0"]}]}
GOOD: dict[str, object] = {"vulns": []}


@pytest.mark.parametrize(
    ("known", "code", "text"),
    [
        ({"pyyaml": BAD, "a": GOOD, "b": GOOD}, CLEAN, "2 versions examined"),
        ({"pyyaml": BAD, "a": GOOD, "b": BAD}, VULNERABLE, "b 2: CVE-1, fixed in 2.0"),
        ({"pyyaml": BAD, "a": GOOD}, NOT_EXAMINED, "NOT EXAMINED"),  # the service fails
        ({"pyyaml": GOOD, "a": GOOD, "b": GOOD}, NOT_EXAMINED, "knows no vulnerability of pyyaml==5.3"),
        ({"pyyaml": BAD, "a": GOOD, "b": {"skip_reason": "not there"}}, NOT_EXAMINED, "b 2 (not there)"),
        ({}, NOT_EXAMINED, "no route to host"),
    ],
)
def test_only_examined_versions_count_as_clean(
    known: dict[str, object], code: int, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "constraints.txt"
    file.write_text("# a comment\na==1\nb==2 ; python_version < '3.12'\n")
    assert examine([file], (sys.executable, "-S", "-c", AUDIT, json.dumps(known))) == code
    ended = capsys.readouterr()
    assert text in ended.out + ended.err
    assert ("NOT EXAMINED" in ended.err) == (code == NOT_EXAMINED)


def test_a_machine_without_uv_examines_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert examine([], (str(tmp_path / "uv"),)) == NOT_EXAMINED
    assert "NOT EXAMINED" in capsys.readouterr().err


@pytest.mark.parametrize("name", FILES)
def test_every_line_of_the_constraints_is_examined(name: str) -> None:
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    assert len(pins_of(ROOT / name)) == len(lines) > 200
