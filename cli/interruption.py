"""Ctrl-C in a command that waits: print what continues, and the command that follows it."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from cli.output import print_line, progress_console


def this_command(without: str = "") -> str:
    """The command line of this process without an option, ready to be pasted into a shell."""
    return shlex.join(["tracemill", *(word for word in sys.argv[1:] if word != without)])


@contextmanager
def explained_interrupt(*sentences: str) -> Iterator[None]:
    """Print the sentences on stderr if the user presses Ctrl-C. The command then ends with exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        print_line(f"\n{' '.join(sentences)}", progress_console)
        raise
