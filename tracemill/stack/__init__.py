"""The local stack: Postgres, Redis and the workers on one machine, without root and without Docker.

`up` finds the servers' programs, on the machine or in Python wheels. It starts them on free loopback ports, with
passwords and under one data folder, and supervises them together with the given programs. `down` ends all processes and
keeps the data.
"""

import fcntl
import importlib.util
import os
import shutil
import time
import xmlrpc.client
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from tracemill.cards import VISIBLE
from tracemill.errors import StackError, UsageError
from tracemill.stack import failures, postgres, supervise, sweep, valkey
from tracemill.stack.state import (
    Folder,
    ProcessStatus,
    Program,
    Stack,
    choose_port,
    folder_of,
    free_port,
    is_free,
    load,
    new_stack,
    save,
    usable_run_dir,
)
from tracemill.stack.supervise import Supervisor, Unit

__all__ = ["ProcessStatus", "Program", "Stack", "down", "load", "no_stack", "program_of", "restart", "status", "up"]

#: Longest start of a service. A database that was killed reads its log first, which may take long.
SERVICE_SECONDS = 120.0
PROGRAM_SECONDS = 60.0
#: Parts of the timeout that `down` reserves for the data services and for the last sweep.
SERVICES_STOP_SECONDS = 6.0
SWEEP_SECONDS = 2.0


class _Service(Protocol):
    NAME: str

    def prepare(self, folder: Folder, stack: Stack) -> Unit: ...

    def answers(self, stack: Stack) -> bool: ...


def up(
    data_dir: Path,
    programs: Callable[[Stack], list[Program]],
    *,
    prepare: Callable[[Stack], None],
    postgres_port: int | None = None,
    redis_port: int | None = None,
    on_restart: Callable[[list[str]], None] = lambda names: None,
) -> Stack:
    """Start the stack, or update a running one: start missing programs and restart changed ones.

    First Postgres and Redis start and must answer. Then `prepare(stack)` runs (migrations). Then the programs start,
    until the supervisor reports each as running. `on_restart` gets the names of those that were changed. Ports and
    passwords stay the same between runs. If another program has taken a kept port, the stack gets a new one; a fixed
    port is never replaced. Programs inherit the environment and working folder of the `up` that started the stack. A
    second `up` at the same time waits for the first.

    Raises UsageError if a fixed port is taken or a program is invalid. Raises StackError with the end of the log if a
    process does not start.
    """
    _require_extra()
    folder = folder_of(data_dir)
    folder.create()
    with _locked(folder):
        stack = load(data_dir) or new_stack(folder)
        stack = replace(stack, run_dir=usable_run_dir(folder, stack.run_dir))
        supervisor = Supervisor(folder, Path(stack.run_dir))
        if not supervisor.is_alive():
            sweep.sweep(folder, seconds=20)
            supervise.keep_only(folder, ())
            if not is_free(stack.flower_port):
                stack = replace(stack, flower_port=free_port())
        stack = _ensure_services(folder, supervisor, stack, postgres_port, redis_port)
        prepare(stack)
        if not supervisor.is_alive():
            raise StackError("the stack was stopped during its start. Run `tracemill up` again.")
        units = [supervise.program_unit(program) for program in programs(stack)]
        names = [unit.name for unit in units]
        if len(set(names)) < len(names):
            raise UsageError(f"two programs have the same name: {', '.join(sorted(names))}.")
        supervise.keep_only(folder, (*sweep.DATA_SERVICES, *names))
        for unit in units:
            supervise.write_unit(folder, unit)
        on_restart(supervisor.apply())
        supervisor.settle(names, PROGRAM_SECONDS)
        return stack


def restart(data_dir: Path, programs: Callable[[Stack], list[Program]], names: Collection[str] = ()) -> list[str]:
    """Restart the named programs, or all besides Postgres and Redis. Returns their names.

    `generate` names all programs whose name begins with `generate-`. They start with the present settings. Raises
    StackError if no stack runs, and UsageError for an unknown name.
    """
    folder, stack = folder_of(data_dir), load(data_dir)
    if stack is None or not (supervisor := Supervisor(folder, Path(stack.run_dir))).is_alive():
        raise no_stack(data_dir)
    with _locked(folder):
        units = {program.name: supervise.program_unit(program) for program in programs(stack)}
        known = [name for name in supervisor.states() if name in units]
        matches = {name: [each for each in known if each == name or each.startswith(f"{name}-")] for name in names}
        if unknown := {name for name, programs_of in matches.items() if not programs_of}:
            raise UsageError(f"no program '{min(unknown)}' runs here. Programs: {', '.join(sorted(known)) or 'none'}")
        chosen = sorted({each for programs_of in matches.values() for each in programs_of} if names else known)
        for name in chosen:
            supervise.write_unit(folder, units[name])
        changed = supervisor.apply()
        supervisor.restart([name for name in chosen if name not in changed])
        supervisor.settle(chosen, PROGRAM_SECONDS)
        return chosen


def _ensure_services(
    folder: Folder, supervisor: Supervisor, stack: Stack, postgres_port: int | None, redis_port: int | None
) -> Stack:
    """Start both data services until they answer. Returns the stack with their ports."""
    states = supervisor.states() if supervisor.is_alive() else {}

    def is_up(service: _Service, fixed: int | None, port: int) -> bool:
        return (
            fixed in (None, port)
            and states.get(service.NAME, {}).get("statename") == "RUNNING"
            and service.answers(stack)
        )

    stale: list[_Service] = []
    if not is_up(postgres, postgres_port, stack.postgres_port):
        stale.append(postgres)
    if not is_up(valkey, redis_port, stack.redis_port):
        stale.append(valkey)
    # Check fixed ports before anything is stopped.
    if postgres_port not in (None, stack.postgres_port):
        choose_port("Postgres", postgres_port, stack.postgres_port, ())
    if redis_port not in (None, stack.redis_port):
        choose_port("Redis", redis_port, stack.redis_port, ())
    running = [service.NAME for service in stale if service.NAME in states]
    if running:
        supervisor.stop(running, SERVICES_STOP_SECONDS + SWEEP_SECONDS)
    if postgres in stale:
        others = {stack.redis_port, stack.flower_port}
        stack = replace(stack, postgres_port=choose_port("Postgres", postgres_port, stack.postgres_port, others))
    if valkey in stale:
        others = {stack.postgres_port, stack.flower_port}
        stack = replace(stack, redis_port=choose_port("Redis", redis_port, stack.redis_port, others))
    save(folder, stack)
    for service in stale:
        supervise.write_unit(folder, service.prepare(folder, stack))
    if stale:
        supervisor.apply()
        for service in stale:
            _await(folder, supervisor, service, stack)
    return stack


def _await(folder: Folder, supervisor: Supervisor, service: _Service, stack: Stack) -> None:
    deadline = time.monotonic() + SERVICE_SECONDS
    supervisor.settle([service.NAME], SERVICE_SECONDS)
    while not service.answers(stack):
        supervisor.settle([service.NAME], SERVICE_SECONDS)
        if time.monotonic() > deadline:
            raise StackError(
                f"{service.NAME} runs but did not answer in {SERVICE_SECONDS:.0f} s. {folder.log_tail(service.NAME)}"
            )
        time.sleep(0.1)


def down(data_dir: Path, *, timeout: float = 30) -> None:
    """Stop the stack, if it runs, and wait until all its processes have ended.

    Programs get SIGTERM and their `stop_seconds`, within `timeout`. Then the data services stop. Then the remaining
    processes are killed.
    """
    deadline = time.monotonic() + timeout
    folder = folder_of(data_dir)
    if not folder.lock.exists():
        return
    _require_extra()
    stack = load(data_dir)
    run_dir = Path(stack.run_dir) if stack else folder.root / "run"
    # A waiting `up` holds the lock. After some seconds, stop the stack without the lock.
    with _locked(folder, seconds=timeout / 6):
        supervisor = Supervisor(folder, run_dir)
        if supervisor.is_alive():
            try:
                names = [name for name in supervisor.states() if name not in sweep.DATA_SERVICES]
                left = deadline - time.monotonic() - SERVICES_STOP_SECONDS - 3 * SWEEP_SECONDS
                supervisor.stop(names, max(1.0, left))
                supervisor.stop(sweep.DATA_SERVICES, SERVICES_STOP_SECONDS)
                supervisor.shut_down(SWEEP_SECONDS)
            except (OSError, xmlrpc.client.Error):
                pass  # the supervisor died meanwhile: the sweep ends the rest
        sweep.sweep(folder, max(SWEEP_SECONDS, deadline - time.monotonic() - sweep.KILL_SECONDS))
        if not run_dir.is_relative_to(folder.root):
            shutil.rmtree(run_dir, ignore_errors=True)


def status(data_dir: Path) -> list[ProcessStatus]:
    """The current state of each program, data services first; empty if there never was a stack."""
    folder = folder_of(data_dir)
    stack = load(data_dir)
    if stack is None:
        return []
    _require_extra()
    supervisor = Supervisor(folder, Path(stack.run_dir))
    infos = supervisor.states() if supervisor.is_alive() else {}
    # The oldest process of a program is the program itself.
    processes = [] if infos else sorted(sweep.find(folder), key=lambda process: process.create_time(), reverse=True)
    orphans = {sweep.program_of(process, folder): process for process in processes}
    rows = []
    for unit in sorted(supervise.units(folder), key=lambda unit: (unit.priority, unit.name)):
        info, orphan = infos.get(unit.name), orphans.get(unit.name)
        if info and info["pid"]:
            state, pid, since = info["statename"], info["pid"], info["start"]
        elif orphan:
            state, pid, since = "ORPHAN", orphan.pid, orphan.create_time()
        else:
            state, pid, since = info["statename"] if info else "STOPPED", None, None
        uptime = None if since is None else max(0.0, time.time() - since)
        rows.append(
            ProcessStatus(
                name=unit.name,
                state=state,
                pid=pid,
                uptime=uptime,
                restarts=max(0, len(failures.start_times(folder, unit.name)) - 1),
                log=folder.log(unit.name),
                failure=failures.failure(folder, unit.name, state, uptime) if unit.restart and infos else None,
                gpu=unit.environment.get(VISIBLE, ""),
                engine=unit.engine,
            )
        )
    return rows


def no_stack(data_dir: Path) -> StackError:
    """The error for a folder in which no stack runs."""
    return StackError(
        f"no stack runs in {data_dir.absolute()}: start it with `tracemill up`, or go to the folder of yours"
    )


def program_of(data_dir: Path, alias: str) -> ProcessStatus | None:
    """The program of the stack that was started with this model alias, unless it was stopped.

    It may still load the model, or fail again and again.
    """
    with suppress(StackError):
        names = {unit.name for unit in supervise.units(folder_of(data_dir)) if alias in unit.command}
        return next((row for row in status(data_dir) if row.name in names and (row.pid or row.failure)), None)
    return None


def _require_extra() -> None:
    missing = [name for name in ("psutil", "supervisor") if importlib.util.find_spec(name) is None]
    if missing:
        raise StackError(f"the local stack needs {' and '.join(missing)}: run `pip install 'tracemill[stack]'`.")


@contextmanager
def _locked(folder: Folder, seconds: float | None = None) -> Iterator[None]:
    """Hold the folder's lock. Wait for it without limit, or continue without it after `seconds`."""
    with open(os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600), "w") as file:
        if seconds is None:
            fcntl.flock(file, fcntl.LOCK_EX)
        else:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(0.1)
        yield
