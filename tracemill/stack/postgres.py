"""Postgres under supervision: make the database once, set it up before each start, ask whether it answers.

Roles and passwords are set in single-user mode, before the server listens: so the superuser has no password at all and
nobody can log in as it, and a lost `stack.json` is healed by the next start.
"""

import os
import shutil
from pathlib import Path

from tracemill.errors import StackError
from tracemill.stack.binaries import PostgresBinaries, find_postgres
from tracemill.stack.identity import Identity, identity
from tracemill.stack.state import HOST, Folder, Stack
from tracemill.stack.supervise import DATA_SERVICES_FIRST, Unit

NAME = "postgres"


def prepare(folder: Folder, stack: Stack) -> Unit:
    """Make the database if there is none, write its settings, set roles and passwords; the unit to supervise.

    No Postgres may run on the folder. Raises StackError if there is no fitting Postgres or it cannot start here.
    """
    who = identity()
    who.reach(folder.root)
    binaries = find_postgres(lambda bin_folder: _version(who, bin_folder), _major_of(folder.postgres))
    if not folder.postgres.exists():
        _initialise(folder, binaries, who)
    _write_settings(folder.postgres, stack)
    who.own(folder.postgres)
    _remove_stale_pid(folder.postgres)
    _set_roles(folder, binaries, who, stack)
    return Unit(
        name=NAME,
        command=[*who.prefix, str(binaries.folder / "postgres"), "-D", str(folder.postgres)],
        environment={},
        directory="/",
        # A fast shutdown: running statements are ended, everything committed is kept.
        stop_signal="INT",
        stop_seconds=8,
        priority=DATA_SERVICES_FIRST,
        uid=who.uid,
        gid=who.gid,
    )


def answers(stack: Stack) -> bool:
    """Whether the server takes both roles' passwords and answers a query."""
    import psycopg

    try:
        for url in (stack.database_url.replace("+psycopg", ""), stack.reader_url):
            with psycopg.connect(url, connect_timeout=2) as connection:
                connection.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True


def _version(who: Identity, bin_folder: Path) -> str | None:
    try:
        done = who.run([str(bin_folder / "postgres"), "-V"])
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _major_of(database: Path) -> int | None:
    """The major version that made the database; None if there is none yet."""
    if not database.exists():
        return None
    try:
        return int((database / "PG_VERSION").read_text())
    except (OSError, ValueError) as error:
        raise StackError(
            f"{database} holds no Postgres database (its PG_VERSION cannot be read). "
            "Restore it, or move it away to start empty."
        ) from error


def _initialise(folder: Folder, binaries: PostgresBinaries, who: Identity) -> None:
    # Made aside and renamed, so that a half-made database is never taken for one.
    new = folder.root / "postgres.new"
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    who.own(new)
    # Nobody gets in by initdb's own rules; ours are written before the first start.
    done = who.run(
        [
            str(binaries.folder / "initdb"),
            f"--pgdata={new}",
            "--username=postgres",
            "--auth-host=reject",
            "--auth-local=reject",
            "--no-locale",
            "--encoding=UTF8",
            "--data-checksums",
        ]
    )
    if done.returncode != 0:
        raise StackError(
            f"initdb of Postgres {binaries.major} could not make a database in {new}:\n{_tail(done.stdout)}"
        )
    new.rename(folder.postgres)


def _write_settings(database: Path, stack: Stack) -> None:
    (database / "postgresql.conf").write_text(
        "# Written by `tracemill up` at each start: changes made here are lost.\n"
        f"listen_addresses = '{HOST}'\n"
        f"port = {stack.postgres_port}\n"
        # Passwords over TCP are the only way in; a data folder may also be too deep for a socket's path.
        "unix_socket_directories = ''\n"
        "password_encryption = 'scram-sha-256'\n"
        "max_connections = 200\n"
        "shared_buffers = '256MB'\n"
        "work_mem = '16MB'\n"
        "maintenance_work_mem = '128MB'\n"
        "max_wal_size = '2GB'\n"
        "fsync = on\n"
        # Compiling costs more than the factory's short statements.
        "jit = off\n"
        "timezone = 'UTC'\n"
        "log_timezone = 'UTC'\n"
        "lc_messages = 'C'\n"
        "log_line_prefix = '%m [%p] %q%u@%d '\n"
    )
    (database / "pg_hba.conf").write_text(f"host all all {HOST}/32 scram-sha-256\n")


def _remove_stale_pid(database: Path) -> None:
    """After a crash the pid in the lock file may belong to an unrelated process, and Postgres would refuse to start."""
    pid_file = database / "postmaster.pid"
    if not pid_file.exists():
        return
    pid = pid_file.read_text().split("\n", 1)[0]
    try:
        at_home = os.readlink(f"/proc/{pid}/cwd") == str(database)
    except OSError:
        at_home = False
    if at_home:
        raise StackError(
            f"another Postgres (process {pid}) already runs on {database}. Stop it, then run `tracemill up` again."
        )
    if Path("/proc/self").exists():
        pid_file.unlink()


def _set_roles(folder: Folder, binaries: PostgresBinaries, who: Identity, stack: Stack) -> None:
    user, reader, database = stack.postgres_user, stack.reader_user, stack.postgres_database
    statements = [
        *(
            f"DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') "
            f"THEN CREATE ROLE {role}; END IF; END$$"
            for role in (user, reader)
        ),
        f"ALTER ROLE {user} LOGIN NOSUPERUSER NOCREATEROLE PASSWORD '{stack.postgres_password}'",
        f"ALTER ROLE {reader} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{stack.reader_password}'",
        # There is no IF NOT EXISTS for databases: the error of the second time is expected.
        f"CREATE DATABASE {database} OWNER {user}",
        f"REVOKE ALL ON DATABASE {database}, postgres, template1 FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {database} TO {reader}",
    ]
    done = who.run(
        # A statement that fails must not take its password into the message.
        [
            str(binaries.folder / "postgres"),
            "--single",
            "-D",
            str(folder.postgres),
            "-c",
            "log_min_error_statement=panic",
            "postgres",
        ],
        stdin="".join(f"{statement}\n" for statement in statements),
    )
    expected = f'ERROR:  database "{database}" already exists'
    errors = [line for line in done.stdout.splitlines() if "ERROR:" in line and expected not in line]
    if done.returncode != 0 or errors:
        raise StackError(f"Postgres {binaries.major} could not open {folder.postgres}:\n{_tail(done.stdout)}")


def _tail(output: str) -> str:
    return "\n".join(output.splitlines()[-15:])
