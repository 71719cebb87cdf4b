"""The entry point of the installed command. Ctrl-C during the imports ends it without a traceback."""

import sys


def main() -> None:
    """Import the commands, then run one."""
    try:
        from cli.main import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()
