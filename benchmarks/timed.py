"""`python -m benchmarks.timed FILE WORDS…`: `tracemill WORDS…`, with each step of the feeder left in FILE.

A line a step: when it ended (seconds since the epoch), the milliseconds it took, and the questions it queued.
"""

import runpy
import sys
import time
from pathlib import Path

from producer import feeder
from tracemill.settings import FeederSettings


def main(file: Path, words: list[str]) -> None:
    step = feeder.step
    with file.open("w", buffering=1) as lines:

        def timed(limits: FeederSettings) -> feeder.Step:
            start = time.perf_counter()
            did = step(limits)
            lines.write(f"{time.time():.3f} {1000 * (time.perf_counter() - start):.2f} {did.queued}\n")
            return did

        feeder.step = timed
        sys.argv = ["tracemill", *words]
        runpy.run_module("cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
