"""The errors that users see.

Every message says what is wrong, where, and what to do next. The command line prints the message without a traceback.
It ends with the exit code of the class: 2 for wrong use, 1 for work that failed.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches

#: The largest number of names that an error lists. With more names it shows the nearest three.
MAX_NAMES = 8

_ERROR_NUMBER = re.compile(r"\[Errno -?\w+\] ", re.IGNORECASE)


class TracemillError(Exception):
    """Work failed; the message says why and what to do."""

    exit_code = 1


class UsageError(TracemillError):
    """Wrong use: a bad option, a missing file, an unknown alias. Nothing was changed."""

    exit_code = 2


class StackError(TracemillError):
    """The local stack (Postgres, Redis, supervised processes) failed or is missing."""


def unknown_name(kind: str, name: str, known: Sequence[str]) -> UsageError:
    """The error for a job, a round or a loop that does not exist. `known`: all names, oldest first."""
    shown, rest = known, ""
    if len(known) > MAX_NAMES:
        shown = get_close_matches(name, known, n=3) or known[-3:]
        rest = f" and {len(known) - len(shown)} more: `tracemill {kind}s list` shows all"
    return UsageError(f"no {kind} '{name}'. {kind.capitalize()}s: {', '.join(shown) or 'none yet'}{rest}")


def no_postgres(setting: str, alternative: str = "") -> StackError:
    """The error for a missing database address. `alternative`: another way to continue, as ", or …"."""
    return StackError(
        "no Postgres: no stack runs here. Start it with `tracemill up`, or go to the folder of yours, or set "
        f"{setting}{alternative}"
    )


def unreachable(service: str, error: object, alternative: str = "") -> StackError:
    """The error for a server (Postgres, Redis) that does not answer; it quotes the first line of `error`."""
    lines = str(error).strip().splitlines()
    reason = lines[0] if lines else type(error).__name__
    return StackError(f"cannot reach {service}: {reason}. `tracemill up` starts it{alternative}.")


def reason_of(error: BaseException) -> str:
    """The reason of an error in the system's words: without the error number and the file name of an OSError."""
    sentence = error.strerror if isinstance(error, OSError) else None
    return without_error_numbers(sentence or str(error))


def without_error_numbers(message: str) -> str:
    """The message without Python's `[Errno 2]`."""
    return _ERROR_NUMBER.sub("", message)


class UnknownMethod(TracemillError):
    """This process started with settings that lack the method of a job. Another process may know it."""


class EngineError(TracemillError):
    """A model cannot be reached, or cannot answer."""

    #: Whether the request may be the cause. Only a probe, a simple request, tells it from a server that fails them all.
    needs_probe = True


class EngineAway(EngineError):
    """The engine cannot answer for now. The question is asked again, without a limit of attempts."""

    needs_probe = False


class EngineDead(EngineError):
    """No request to this engine can succeed. Its worker must end, unless only one alias is refused."""

    needs_probe = False


class AliasRefused(EngineDead):
    """The server refuses every request of this alias: its key, address or model is wrong. Other aliases may work."""


class RequestRefused(EngineError):
    """The engine can never answer this request, for example because it is too long. Do not ask again."""

    needs_probe = False
