"""Checks of the local stack's programs, before the first of them starts."""

from importlib.util import find_spec

from tracemill import stack as local
from tracemill.engines.startable import require_startable
from tracemill.errors import UsageError
from tracemill.settings import settings


def require_programs() -> None:
    """Raise UsageError if a program that `[local]` names cannot start on this machine."""
    wanted = settings().local
    for alias in dict.fromkeys([*wanted.generate, *([wanted.judge] if wanted.judge else [])]):
        require_startable(alias)
    if wanted.train and find_spec("trl") is None:
        raise _missing("the trainer", "train")
    if wanted.flower and find_spec("flower") is None:
        raise _missing("Flower", "flower", extra="stack")


def require_local_student(alias: str) -> None:
    """Raise UsageError if the local stack is in use and cannot load the student. Other trainers have other folders."""
    stack, address = local.load(settings().data_dir), settings().database_url
    if stack is not None and address is not None and address.get_secret_value() == stack.database_url:
        require_startable(alias)


def _missing(program: str, key: str, extra: str = "train") -> UsageError:
    return UsageError(
        f"{program} is not installed. Run: pip install 'tracemill[{extra}]', or set {key} = false under [local]"
    )
