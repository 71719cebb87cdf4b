"""Interrupts of a command that waits: print what continues, and the command that follows it."""

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from cli.output import print_line, progress_console


def this_command(without: str = "") -> str:
    """The command line of this process without an option, ready to be pasted into a shell."""
    return shlex.join(["tracemill", *(word for word in sys.argv[1:] if word != without)])


@contextmanager
def explained_interrupt(*sentences: str) -> Iterator[None]:
    """Print the sentences on stderr if the user presses Ctrl-C. The command then ends with exit code 130.

    A closed terminal (SIGHUP) and SIGTERM do the same.
    """
    with ended_like_ctrl_c():
        try:
            yield
        except KeyboardInterrupt:
            with suppress(OSError):  # the terminal is closed
                print_line(f"\n{' '.join(sentences)}", progress_console)
            raise


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGHUP and SIGTERM, unless they are ignored (`nohup`) or handled already."""
    changed = [number for number in (signal.SIGHUP, signal.SIGTERM) if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in changed:
            signal.signal(number, _interrupt)
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _interrupt(number: int, _: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a shell repeats SIGHUP, which must not interrupt the clean-up
    raise KeyboardInterrupt
