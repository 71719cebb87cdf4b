"""Lend a card to a fit: engines hold it together, and a fit holds it alone while they sleep.

Each card has two lock files in the data folder. Engines share `held`. A fit takes `requested`, and the engines notice
that. They sleep and release `held`, and the fit takes it. The kernel releases the locks of a process that dies, so
neither a killed fit nor a killed worker blocks the other.

Covered: the processes of one local stack. Not covered: trainers and workers of a cluster, which have their own cards.
"""

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

#: The trouble that the heartbeats of a worker report while it lends its card.
LENDING = "lending its GPU to a fit"
#: Seconds between two looks at a lock.
LOOK_SECONDS = 0.5


class Tenancy:
    """The engines' side: the cards of one worker."""

    def __init__(self, data_dir: Path, cards: Sequence[str]) -> None:
        self._requested = [_open(data_dir, card, "requested") for card in sorted(cards)]
        self._held = [_open(data_dir, card, "held") for card in sorted(cards)]

    def enter(self) -> None:
        """Hold the cards together with other engines. Waits until no fit wants them."""
        with ExitStack() as waited:
            for file in self._requested:
                fcntl.flock(file, fcntl.LOCK_SH)
                waited.callback(fcntl.flock, file, fcntl.LOCK_UN)
            for file in self._held:
                fcntl.flock(file, fcntl.LOCK_SH)

    def is_requested(self) -> bool:
        """Whether a fit waits for one of the cards."""
        for file in self._requested:
            if not _try(file, fcntl.LOCK_SH):
                return True
            fcntl.flock(file, fcntl.LOCK_UN)
        return False

    def leave(self) -> None:
        """Give the cards to the fit."""
        for file in self._held:
            fcntl.flock(file, fcntl.LOCK_UN)

    def lend(self, sleep: Callable[[], None], wake: Callable[[], None]) -> None:
        """Lend the cards whenever a fit wants them, without end: `sleep` frees their memory, `wake` takes it again."""
        while True:
            if self.is_requested():
                sleep()
                self.leave()
                self.enter()
                wake()
            time.sleep(LOOK_SECONDS)


@contextmanager
def borrowed(data_dir: Path, cards: Sequence[str], may_wait: Callable[[], bool]) -> Iterator[bool]:
    """Hold cards alone until the block ends. Yields False if `may_wait` turned false before the engines slept."""
    with ExitStack() as locks:
        files = [_open(data_dir, card, part) for part in ("requested", "held") for card in sorted(cards)]
        for file in files:
            locks.callback(os.close, file)
        yield all(_wait(file, may_wait) for file in files)


def _wait(file: int, may_wait: Callable[[], bool]) -> bool:
    while not _try(file, fcntl.LOCK_EX):
        if not may_wait():
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _try(file: int, kind: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        return True
    return False


def _open(data_dir: Path, card: str, part: str) -> int:
    folder = data_dir / "cards"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = re.sub(r"[^\w-]", "", card)
    # Children must not inherit the lock: a surviving one would hold the card.
    return os.open(folder / f"{name}.{part}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
