"""`python -m benchmarks.profiled FILE WORDS…`: run `tracemill WORDS…` and write the CPU time of each function to FILE.

Every thread has a profile of its own that counts the CPU time of that thread, so waiting costs nothing. The profiles
are added at the end. Read FILE with `python -m pstats FILE`. Profiling about doubles the time of Python code.
"""

import cProfile
import pstats
import runpy
import sys
import threading
import time
from pathlib import Path
from typing import Any

_profiles: list["Profile"] = []


class Profile(cProfile.Profile):
    """A profile that is read while it runs. To end it would charge waiting calls by the clock of this thread."""

    def create_stats(self) -> None:
        self.snapshot_stats()


def _start(*_: Any) -> None:
    """Start a profile at the first call in a new thread."""
    profile = Profile(time.thread_time)
    _profiles.append(profile)
    profile.enable()


def main(file: Path, words: list[str]) -> None:
    threading.setprofile(_start)
    _start()
    sys.argv = ["tracemill", *words]
    try:
        runpy.run_module("cli", run_name="__main__", alter_sys=True)
    finally:
        _profiles[0].disable()
        stats = pstats.Stats(_profiles[0])
        for profile in _profiles[1:]:
            stats.add(profile)
        stats.dump_stats(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
