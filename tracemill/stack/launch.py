"""Start one supervised program: read its unit file, set its environment, and execute its command.

The supervisor runs this file as a script for each start. The supervisor's configuration format cannot hold every
command and environment value, keeps no secrets and counts no restarts; a JSON file does. This script imports only the
standard library, so that it starts in milliseconds.
"""

import json
import os
import sys
import time
from pathlib import Path

#: Starts within `WITHIN_SECONDS` after which a program is not started again. The supervisor itself only counts
#: programs that die during their start.
MANY_STARTS = 30
WITHIN_SECONDS = 900.0
#: Begins the line that separates the runs of a program in its log.
START_LINE = "--- tracemill starts "


def is_hopeless(starts: list[float], now: float) -> bool:
    """Whether a program with these start times (seconds since the epoch) dies too often to be started again."""
    return sum(now - start < WITHIN_SECONDS for start in starts) >= MANY_STARTS


def main(unit_path: Path) -> None:
    unit = json.loads(unit_path.read_text())
    journal = unit_path.with_suffix(".starts")
    starts = [float(line) for line in journal.read_text().split()] if journal.exists() else []
    now = time.time()
    if is_hopeless(starts, now):
        sys.exit(
            f"{unit_path.stem} was started {MANY_STARTS} times within {WITHIN_SECONDS / 60:.0f} minutes: giving up. "
            "Fix the error in its log above, then run `tracemill up` again."
        )
    with journal.open("a") as file:
        file.write(f"{now}\n")
    environment = {**os.environ, **unit["environment"], "TRACEMILL_PROGRAM": unit_path.stem}
    if unit["uid"] is not None:
        os.setgroups([])
        os.setgid(unit["gid"])
        os.setuid(unit["uid"])
    command = unit["command"]
    print(f"{START_LINE}{unit_path.stem} at {time.strftime('%Y-%m-%d %H:%M:%S')} ---", file=sys.stderr, flush=True)
    try:
        os.chdir(unit["directory"])
        os.execvpe(command[0], command, environment)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started in {unit['directory']}: {error.strerror}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
