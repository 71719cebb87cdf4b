"""What can go wrong, said to the person who can put it right.

Every message says what is wrong, where, and what to do next. The command line prints the message alone, without a
traceback, and ends with the class's exit code: 2 for wrong use, 1 for work that failed.
"""


class TracemillError(Exception):
    """Work failed; the message says why and what to do."""

    exit_code = 1


class UsageError(TracemillError):
    """Wrong use: a bad option, a missing file, an unknown alias. Nothing was changed."""

    exit_code = 2


class StackError(TracemillError):
    """The local stack (Postgres, Redis, supervised processes) could not do what was asked."""


class EngineError(TracemillError):
    """A model could not be reached, or could not answer."""


class EngineDead(EngineError):
    """The engine is gone for good: the worker that owns it must end so that its supervisor can start a new one."""


class RequestRefused(EngineError):
    """The engine can never answer this request: too long a prompt, refused by the server. Do not ask again."""
