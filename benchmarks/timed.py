"""`python -m benchmarks.timed FILE WORDS…`: run `tracemill WORDS…` and write each step of the feeder to FILE.

Each line is a step: its end (seconds since the epoch), its duration in milliseconds, and the number of queued
questions.
"""

import runpy
import sys
import time
from pathlib import Path

from producer import feeder
from producer.leader import Lead
from tracemill.settings import FeederSettings


def main(file: Path, words: list[str]) -> None:
    step = feeder.step
    with file.open("w", buffering=1) as lines:

        def timed(limits: FeederSettings, lead: Lead, rates: feeder.Rates | None = None) -> feeder.Step:
            start = time.perf_counter()
            result = step(limits, lead, rates)
            lines.write(f"{time.time():.3f} {1000 * (time.perf_counter() - start):.2f} {result.queued}\n")
            return result

        feeder.step = timed
        sys.argv = ["tracemill", *words]
        runpy.run_module("cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
