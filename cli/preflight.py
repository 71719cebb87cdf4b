"""Checks of the local stack's programs, before the first of them starts."""

import os
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from typing import NamedTuple

from tracemill import stack as local
from tracemill.engines.memory_plan import local_plans
from tracemill.engines.startable import require_startable
from tracemill.errors import UsageError
from tracemill.settings import LocalSettings, model, settings


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
    _require_same_keys(settings().local.served)
    local_plans()  # it refuses engines and fits that need more GPUs or more memory
    for program in missing_programs(settings().local):
        raise UsageError(f"{program.name} is not installed. Run: {program.advice}")


def _require_same_keys(aliases: Iterable[str]) -> None:
    """Raise UsageError for an API key that the running stack lacks. Its programs keep the variables of its start.

    Many local servers need no key, so it only checks the variables that the settings name.
    """
    servers = [model(alias).openai for alias in aliases if model(alias).engine == "openai"]
    names = {options.api_key_env for options in servers if "api_key_env" in options.model_fields_set}
    stack = _variables_of_stack() if names else None
    for name in sorted(names):
        if stack is not None and stack.get(name) != os.environ.get(name):
            raise UsageError(
                f"the running stack has another {name}, or none, and keeps the variables of its start: "
                "run `tracemill down`, then `tracemill up`"
            )


def _variables_of_stack() -> dict[str, str] | None:
    """The variables with which the running local stack was started; None if none runs, or another user's."""
    import psutil

    with suppress(psutil.Error, OSError):
        for process in local.status(settings().data_dir):
            if process.name == "redis" and process.pid is not None:
                return dict(psutil.Process(process.pid).environ())
    return None


def require_local_student(alias: str) -> None:
    """Raise UsageError if the local stack is in use and cannot load the student. Other trainers have other folders."""
    stack, address = local.load(settings().data_dir), settings().database_url
    if stack is not None and address is not None and address.get_secret_value() == stack.database_url:
        require_startable(alias)
