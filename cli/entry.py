"""The entry point of the installed command. Ctrl-C during the imports ends it without a traceback.

A command imports hundreds of modules. To search them for garbage takes up to a quarter of the time of a short command.
"""

import gc
import sys

#: New objects after which the garbage collector looks for cycles. Python's default is 700.
OBJECTS = 50_000


def main() -> None:
    """Import the commands, then run one."""
    gc.set_threshold(OBJECTS)
    try:
        from cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        run()
    finally:
        gc.freeze()  # otherwise Python searches all modules again before it ends
