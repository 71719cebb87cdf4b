"""Checks of the local stack's programs, before the first of them starts."""

from importlib.util import find_spec
from typing import NamedTuple

from tracemill import stack as local
from tracemill.engines.memory_plan import local_plans
from tracemill.engines.startable import require_startable
from tracemill.errors import UsageError
from tracemill.settings import LocalSettings, settings


class MissingProgram(NamedTuple):
    """A program of the local stack that is not installed."""

    name: str
    advice: str


def missing_programs(local_settings: LocalSettings) -> list[MissingProgram]:
    """The programs besides the engines that `tracemill up` starts and that are not installed."""
    missing = []
    if find_spec("math_verify") is None:
        missing.append(MissingProgram("the verify worker", "pip install 'tracemill[verify]'"))
    if local_settings.train and find_spec("trl") is None:
        missing.append(_switchable("the trainer", "train", extra="train"))
    if local_settings.flower and find_spec("flower") is None:
        missing.append(_switchable("Flower", "flower", extra="stack"))
    return missing


def _switchable(name: str, key: str, extra: str) -> MissingProgram:
    return MissingProgram(name, f"pip install 'tracemill[{extra}]', or set {key} = false under [local]")


def require_programs() -> None:
    """Raise UsageError if a program that `[local]` names cannot start on this machine."""
    for alias in settings().local.served:
        require_startable(alias)
    local_plans()  # it refuses engines and fits that need more GPUs or more memory
    for program in missing_programs(settings().local):
        raise UsageError(f"{program.name} is not installed. Run: {program.advice}")


def require_local_student(alias: str) -> None:
    """Raise UsageError if the local stack is in use and cannot load the student. Other trainers have other folders."""
    stack, address = local.load(settings().data_dir), settings().database_url
    if stack is not None and address is not None and address.get_secret_value() == stack.database_url:
        require_startable(alias)
