"""`python -m benchmarks.profiled FILE WORDS…`: `tracemill WORDS…`, with the CPU time of each function left in FILE.

Every thread has a profile of its own that counts the CPU time of that thread, so waiting costs nothing; they are added
up at the end. Read FILE with `python -m pstats FILE`. Profiling itself about doubles what Python costs.
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
    """Read without being ended: ending it here would count calls that are still waiting by the clock of this thread."""

    def create_stats(self) -> None:
        self.snapshot_stats()


def _start(*_: Any) -> None:
    """The first call in a new thread: from here on its own profile listens."""
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
