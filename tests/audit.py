"""`make check-deps`: known vulnerabilities of the pinned versions, by pip-audit in an environment of its own.

Exit code 0: none is known. 1: some are known. 3: not examined, because the advisory service does not answer. A version
with known vulnerabilities goes first. If the service knows none of it, its other answers mean nothing.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests import ROOT

FILES = ("constraints.txt", "constraints-gpu.txt")
UV = Path(sys.executable).with_name("uv")
AUDIT = ("tool", "run", "pip-audit@2.10.1", "--no-deps", "--disable-pip", "--format=json", "--progress-spinner=off")
#: A version with known vulnerabilities (CVE-2020-1747).
CANARY = "pyyaml==5.3"
CLEAN, VULNERABLE, NOT_EXAMINED = 0, 1, 3


class NotExaminedError(Exception):
    """The advisory service gave no answer that can be relied on."""


class Pin(NamedTuple):
    """A pinned version as pip-audit reports it."""

    name: str
    vulnerabilities: list[str]
    #: Why the service does not know this version; None if it does.
    skipped: str | None


def audit(pins: Iterable[str], command: tuple[str, ...] = (str(UV), *AUDIT)) -> list[Pin]:
    """Ask for the vulnerabilities of `name==version` texts. Raises NotExaminedError without an answer."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(pins) + "\n")
        file.flush()
        ended = subprocess.run(
            [*command, f"--requirement={file.name}"], capture_output=True, text=True, check=False, timeout=1200
        )
    try:
        rows = json.loads(ended.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise NotExaminedError((ended.stderr.strip().splitlines() or ["no answer"])[-1]) from None
    return [
        Pin(
            f"{row['name']} {row.get('version', '')}".strip(),
            [
                f"{each['id']}, fixed in {', '.join(each['fix_versions']) or 'no version'}"
                for each in row.get("vulns", [])
            ],
            row.get("skip_reason"),
        )
        for row in rows
    ]


def pins_of(file: Path) -> list[str]:
    """The pins of a file of constraints, without markers: they are examined for every platform."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line.split(";")[0].strip() for line in lines if "==" in line and not line.startswith("#")]


def examine(files: Iterable[Path], command: tuple[str, ...] = (str(UV), *AUDIT)) -> int:
    """Print what is known about the pins of each file, and return the exit code."""
    code = CLEAN
    try:
        if not any(pin.vulnerabilities for pin in audit([CANARY], command)):
            raise NotExaminedError(f"the advisory service knows no vulnerability of {CANARY}, which has some")
        for file in files:
            pins = pins_of(file)
            results = audit(pins, command)
            if len(results) != len(pins):
                raise NotExaminedError(f"{len(results)} answers for the {len(pins)} versions of {file.name}")
            for pin in results:
                for vulnerability in pin.vulnerabilities:
                    print(f"{file.name}: {pin.name}: {vulnerability}")
                    code = VULNERABLE
            skipped = [f"{pin.name} ({pin.skipped})" for pin in results if pin.skipped]
            if skipped:
                raise NotExaminedError(f"the advisory service does not know, in {file.name}: {'; '.join(skipped)}")
            print(f"{file.name}: {len(results)} versions examined")
    except (NotExaminedError, OSError, subprocess.TimeoutExpired) as error:
        print(f"\n!!! THE DEPENDENCIES WERE NOT EXAMINED, SO NOTHING IS KNOWN ABOUT THEM: {error}\n", file=sys.stderr)
        return code or NOT_EXAMINED
    return code


if __name__ == "__main__":
    sys.exit(examine(ROOT / name for name in FILES))
