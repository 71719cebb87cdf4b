"""The local stack with real servers. Everything here holds for root and for an ordinary user."""

import os
import pwd
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from tests.integration.factory import wait_until
from tests.integration.tracemill.stack.local_stack import SLEEPER, left, new_folder, owner, pids, start, states, value
from tracemill import stack
from tracemill.errors import StackError, UsageError
from tracemill.processes import is_alive
from tracemill.stack.binaries import postgres_folders
from tracemill.stack.identity import identity
from tracemill.stack.state import free_port

pytestmark = pytest.mark.integration

POSTGRES_FOLDERS = sorted({str(folder) for folder in postgres_folders()})


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder in which no stack has run."""
    with new_folder() as path:
        yield path


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A folder with a stack and data of other tests. It may run, with any programs."""
    with new_folder() as path:
        yield path


@pytest.fixture
def stopped(shared: Path) -> Path:
    """The shared folder, in which no stack runs."""
    start(shared)
    stack.down(shared)
    return shared


@pytest.mark.parametrize("bin_folder", POSTGRES_FOLDERS)
def test_each_installed_postgres_starts_with_safe_settings_and_stops(
    data_dir: Path, bin_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEMILL_POSTGRES_BIN", bin_folder)
    running = start(data_dir)
    settings = {"fsync": "on", "data_checksums": "on", "server_encoding": "UTF8", "jit": "off"}
    assert {name: value(running, f"show {name}") for name in settings} == settings
    # The owner may migrate and is not a superuser.
    assert (
        value(running, "create table t (x int)", "select usesuper from pg_user where usename = current_user") is False
    )
    stack.down(data_dir)
    assert left(data_dir) == []


def test_a_login_needs_the_right_password(shared: Path) -> None:
    running = start(shared)
    for user in (running.postgres_user, running.reader_user, "postgres"):
        for password in ("wrong", ""):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(
                    host="127.0.0.1", port=running.postgres_port, user=user, password=password, dbname="tracemill"
                )
    for wrong in (None, "wrong"):
        with pytest.raises(redis.AuthenticationError), redis.Redis(port=running.redis_port, password=wrong) as client:
            client.ping()


def test_redis_refuses_messages_beyond_its_memory_and_drops_none(shared: Path) -> None:
    with redis.Redis.from_url(start(shared).redis_url) as client:
        limits = {"maxmemory": str(512 * 2**20), "maxmemory-policy": "noeviction"}
        assert client.config_get("maxmemory*").items() >= limits.items()


def test_the_reader_sees_only_granted_views(shared: Path) -> None:
    running = start(shared)
    with owner(running) as connection:
        connection.execute("create table secret (x int)")
        connection.execute("create view shown as select 1 as x")
        connection.execute("grant select on shown to tracemill_reader")
    with psycopg.connect(running.reader_url, autocommit=True) as reader:
        assert reader.execute("select x from shown").fetchone() == (1,)
        for forbidden in ("select * from secret", "create table mine (x int)", "create temp table mine (x int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(forbidden)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(running.reader_url, dbname="postgres")


def test_sockets_are_loopback_and_passwords_are_not_visible_to_others(shared: Path) -> None:
    running = start(shared, replace(SLEEPER, environment={"TOKEN": "a-secret-token"}))
    processes = left(shared)
    assert {"postgres", "sleep"} <= {process.name() for process in processes}
    listening = [
        connection.laddr
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {(address.ip, address.port) for address in listening} == {
        ("127.0.0.1", running.postgres_port),
        ("127.0.0.1", running.redis_port),
    }
    shown = " ".join(word for process in processes for word in process.cmdline())
    for secret in (running.postgres_password, running.reader_password, running.redis_password, "a-secret-token"):
        assert secret not in shown
    private_paths = (
        shared,
        shared / "stack.json",
        shared / "units" / "sleeper.json",
        shared / "redis" / "redis.conf",
    )
    assert all(path.stat().st_mode & 0o077 == 0 for path in private_paths)


def test_programs_have_the_mark_their_environment_and_their_own_log(shared: Path) -> None:
    show = "import os; print(os.environ['TRACEMILL_STACK'], os.environ['COLOUR'])"
    start(shared, stack.Program("show", [sys.executable, "-c", show], {"COLOUR": "blue"}, restart=False))
    log = shared / "logs" / "show.log"
    wait_until(lambda: log.read_text().endswith(f" ---\n{shared} blue\n"))
    wait_until(lambda: states(shared)["show"] == "EXITED")


def test_prepare_runs_after_the_services_and_before_the_programs(stopped: Path) -> None:
    results = []

    def prepare(running: stack.Stack) -> None:
        results.append(value(running, "select 1"))
        results.append(pids(stopped).keys())

    stack.up(stopped, lambda _: [SLEEPER], prepare=prepare)
    assert results == [1, {"postgres", "redis"}]


def test_a_second_up_changes_nothing(shared: Path) -> None:
    running = start(shared, SLEEPER)
    before = pids(shared)
    assert start(shared, SLEEPER) == running
    assert pids(shared) == before
    assert stack.load(shared) == running


def test_two_concurrent_ups_make_one_stack(data_dir: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: start(data_dir, SLEEPER), range(2))
    assert first == second
    assert sum("supervisor.supervisord" in process.cmdline() for process in left(data_dir)) == 1
    assert value(first, "select 1") == 1


def test_up_updates_programs_while_unchanged_ones_keep_running(shared: Path) -> None:
    start(shared, SLEEPER, replace(SLEEPER, name="leaving"), replace(SLEEPER, name="changing"))
    before = pids(shared)
    leaving = psutil.Process(before["leaving"])
    start(shared, SLEEPER, stack.Program("changing", ["sleep", "2000"]), replace(SLEEPER, name="coming"))
    after = pids(shared)
    assert after.keys() == {"postgres", "redis", "sleeper", "changing", "coming"}
    assert all(after[name] == before[name] for name in ("postgres", "redis", "sleeper"))
    # Until its launcher executes it, it is another program.
    wait_until(lambda: psutil.Process(after["changing"]).cmdline() == ["sleep", "2000"])
    assert not is_alive(leaving)


def test_a_killed_program_is_restarted_and_counted(shared: Path) -> None:
    start(shared, replace(SLEEPER, name="victim"))
    first = pids(shared)["victim"]
    assert first is not None
    wait_until(lambda: psutil.Process(first).cmdline()[0] == "sleep")  # until then its start is not counted
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pids(shared)["victim"] not in (None, first) and states(shared)["victim"] == "RUNNING")
    row = next(process for process in stack.status(shared) if process.name == "victim")
    assert row.restarts == 1
    assert 0 <= (row.uptime or 99) < 15


@pytest.mark.parametrize("service", ["postgres", "redis"])
def test_a_killed_data_service_restarts_with_all_committed_data(shared: Path, service: str) -> None:
    running = start(shared)
    with owner(running) as connection, redis.Redis.from_url(running.redis_url) as client:
        connection.execute(f"create table {service}_kept as select 7 as x")
        client.set("kept", "7")
        client.execute_command("WAITAOF", 1, 0, 5000)
    first = pids(shared)[service]
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pids(shared)[service] not in (None, first))
    assert start(shared) == running
    assert value(running, f"select x from {service}_kept") == 7
    with redis.Redis.from_url(running.redis_url) as client:
        assert client.get("kept") == b"7"


def test_a_hopeless_program_shows_the_end_of_its_log_and_others_stay_up(shared: Path) -> None:
    hopeless = stack.Program("hopeless", ["sh", "-c", "echo no model here; exit 1"])
    with pytest.raises(StackError, match=r"(?s)hopeless does not start.*hopeless\.log.*no model here"):
        start(shared, SLEEPER, hopeless)
    assert states(shared) == {"postgres": "RUNNING", "redis": "RUNNING", "sleeper": "RUNNING", "hopeless": "FATAL"}


def test_a_data_service_that_cannot_start_is_reported_with_its_log(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tmp_path / "server"
    server.write_text("#!/bin/sh\necho this machine is too small\nexit 1\n")
    server.chmod(0o755)
    monkeypatch.setenv("TRACEMILL_REDIS_SERVER", str(server))
    with pytest.raises(StackError, match=r"(?s)redis does not start.*redis\.log.*too small"):
        start(stopped)
    monkeypatch.delenv("TRACEMILL_REDIS_SERVER")
    assert value(start(stopped), "select 1") == 1


def test_up_after_a_killed_supervisor_ends_orphans_and_keeps_the_data(shared: Path) -> None:
    running = start(shared, SLEEPER)
    with owner(running) as connection:
        connection.execute("create table survivor as select 7 as x")
    before = left(shared)
    supervisor = next(process for process in before if "supervisor.supervisord" in process.cmdline())
    supervisor.kill()
    wait_until(lambda: supervisor not in left(shared))
    assert set(states(shared).values()) == {"ORPHAN"}
    assert start(shared, SLEEPER) == running
    assert not set(before) & set(left(shared))
    assert value(running, "select x from survivor") == 7
    assert set(states(shared).values()) == {"RUNNING"}


def test_down_keeps_data_addresses_and_passwords_for_the_next_up(shared: Path) -> None:
    running = start(shared, SLEEPER)
    value(running, "create table stayed as select 7 as x", "select 1")
    stack.down(shared)
    assert left(shared) == []
    assert set(states(shared).values()) == {"STOPPED"}
    stack.down(shared)
    assert start(shared) == running
    assert value(running, "select x from stayed") == 7


def test_a_lost_stack_file_changes_the_passwords_and_keeps_the_data(shared: Path) -> None:
    value(start(shared), "create table inherited as select 7 as x", "select 1")
    (shared / "stack.json").unlink()
    renewed = start(shared)
    assert value(renewed, "select x from inherited") == 7


def test_down_ends_the_processes_even_if_the_stack_file_is_lost(shared: Path) -> None:
    start(shared, SLEEPER)
    (shared / "stack.json").unlink()
    stack.down(shared)
    assert left(shared) == []


def test_programs_that_ignore_sigterm_or_detach_do_not_delay_down(data_dir: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(999)"
    )
    slip = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {deaf!r}], start_new_session=True)"
    start(
        data_dir,
        *(stack.Program(f"deaf-{number}", [sys.executable, "-c", deaf], stop_seconds=300) for number in range(3)),
        stack.Program("slip", [sys.executable, "-c", f"{slip}; import time; time.sleep(999)"]),
    )
    wait_until(lambda: all("deaf" in log.read_text() for log in data_dir.glob("logs/deaf-*.log")))
    started = time.monotonic()
    stack.down(data_dir, timeout=15)
    assert time.monotonic() - started < 15
    assert left(data_dir) == []
    assert "database system is shut down" in (data_dir / "logs" / "postgres.log").read_text()


def test_a_hanging_supervisor_does_not_delay_down(shared: Path) -> None:
    start(shared, SLEEPER)
    next(process for process in left(shared) if "supervisor.supervisord" in process.cmdline()).suspend()
    started = time.monotonic()
    stack.down(shared)
    assert time.monotonic() - started < 30
    assert left(shared) == []


def test_down_stops_a_stack_during_its_up(stopped: Path) -> None:
    is_down = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stack.up, stopped, lambda _: [], prepare=lambda _: is_down.wait(60))
        try:
            wait_until(lambda: set(states(stopped).values()) == {"RUNNING"})
            stack.down(stopped, timeout=18)
        finally:
            is_down.set()
        assert left(stopped) == []
        with pytest.raises(StackError, match="the stack was stopped during its start"):
            waiting.result()


def test_a_taken_port_is_replaced_unless_the_user_fixed_it(shared: Path) -> None:
    running = start(shared)
    stack.down(shared)
    # It reuses the address, because old connections to it may still be closing.
    with socket.create_server(("127.0.0.1", running.postgres_port)):
        with pytest.raises(UsageError, match=f"port {running.postgres_port} is taken"):
            start(shared, postgres_port=running.postgres_port)
        moved = start(shared)
    assert moved.postgres_port != running.postgres_port
    assert replace(moved, postgres_port=running.postgres_port) == running
    assert value(moved, "select 1") == 1


def test_fixing_a_port_of_a_running_stack_moves_service_and_programs(shared: Path) -> None:
    def programs(running: stack.Stack) -> list[stack.Program]:
        return [replace(SLEEPER, environment={"URL": running.redis_url})]

    stack.up(shared, programs, prepare=lambda _: None)
    before, port = pids(shared), free_port()
    with pytest.raises(UsageError, match="is taken"):
        start(shared, redis_port=stack.up(shared, programs, prepare=lambda _: None).postgres_port)
    assert pids(shared) == before
    moved = stack.up(shared, programs, prepare=lambda _: None, redis_port=port)
    assert moved.redis_port == port
    after = pids(shared)
    # Until its launcher executes it, it has another environment.
    wait_until(lambda: psutil.Process(after["sleeper"]).environ().get("URL") == moved.redis_url)


def test_files_that_others_left_in_the_database_folder_do_not_matter(stopped: Path) -> None:
    database, bashrc = stopped / "postgres", stopped.with_name("bashrc")
    (database / "postmaster.pid").write_text(f"{os.getpid()}\n")
    (database / "postgresql.auto.conf").write_text("archive_mode = on\narchive_command = 'false'\n")
    (database / "pg_hba.conf").unlink()
    (database / "pg_hba.conf").symlink_to(bashrc)
    assert value(start(stopped), "select setting from pg_settings where name = 'archive_mode'") == "off"
    assert not bashrc.exists()


@pytest.mark.parametrize("name", ["100% #1 ; 'ü\" x", "deep" * 30])
def test_a_data_folder_of_any_name_works(data_dir: Path, name: str) -> None:
    odd = data_dir.with_name(name) / "data"
    try:
        running = start(odd, SLEEPER)
        assert value(running, "select 1") == 1
        assert set(states(odd).values()) == {"RUNNING"}
    finally:
        stack.down(odd)
    assert left(odd) == []
    assert Path(running.run_dir).is_relative_to(odd) or not Path(running.run_dir).exists()


def test_the_error_for_another_versions_database_names_that_version(stopped: Path) -> None:
    file = stopped / "postgres" / "PG_VERSION"
    version = file.read_text()
    file.write_text("9\n")
    with pytest.raises(StackError, match="made by Postgres 9, but the installed versions are"):
        start(stopped)
    file.write_text(version)


def test_without_user_namespaces_root_drops_to_an_unprivileged_account(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidden = tmp_path / "unshare"
    forbidden.write_text("#!/bin/sh\nexit 1\n")
    forbidden.chmod(0o755)
    if os.geteuid() == 0:  # the account must also take over a database that was made in a namespace
        start(data_dir)
        stack.down(data_dir)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    if os.geteuid() != 0 and os.geteuid() not in {account.pw_uid for account in pwd.getpwall()}:
        with pytest.raises(StackError, match="needs a user with an account"):
            identity()
        return
    running = start(data_dir)
    assert value(running, "select 1") == 1
    assert psutil.Process(pids(data_dir)["postgres"]).uids().effective != 0
    stack.down(data_dir)
    assert left(data_dir) == []
    monkeypatch.undo()
    assert value(start(data_dir), "select 1") == 1
