"""Supervised Postgres: create the database once, configure it before each start, check whether it answers.

Roles and passwords are set in single-user mode before the server listens. So the superuser needs no password and no
login. After a lost `stack.json`, the next start sets new passwords.
"""

import os
import shutil
from pathlib import Path

from tracemill import roles
from tracemill.errors import StackError
from tracemill.stack.binaries import PostgresBinaries, find_postgres
from tracemill.stack.identity import Identity, identity
from tracemill.stack.state import HOST, Folder, Stack
from tracemill.stack.supervise import DATA_SERVICES_FIRST, Unit

NAME = "postgres"


def prepare(folder: Folder, stack: Stack) -> Unit:
    """Create the database if needed, and write its settings, roles and passwords. Returns its unit.

    No Postgres may run on the folder. Raises StackError if no suitable Postgres is installed or it cannot start here.
    """
    who = identity()
    who.give_access(folder.root)
    binaries = find(folder, who)
    if not folder.postgres.exists():
        _initialise(folder, binaries, who)
    _write_settings(folder.postgres, stack)
    who.take_over(folder.postgres)
    _remove_stale_pid(folder.postgres)
    _set_roles(folder, binaries, who, stack)
    return Unit(
        name=NAME,
        command=[*who.prefix, str(binaries.folder / "postgres"), "-D", str(folder.postgres)],
        environment={},
        directory="/",
        # Fast shutdown: Postgres cancels running statements and keeps all committed data.
        stop_signal="INT",
        stop_seconds=8,
        priority=DATA_SERVICES_FIRST,
        uid=who.uid,
        gid=who.gid,
    )


def find(folder: Folder, who: Identity | None = None) -> PostgresBinaries:
    """The Postgres of this folder's database. Raises StackError if there is none that can run here."""
    user = who or identity()
    return find_postgres(lambda bin_folder: _version(user, bin_folder), _major_of(folder.postgres))


def answers(stack: Stack) -> bool:
    """Whether the server accepts both roles' passwords and answers a query."""
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
    """The major version of the database; None if there is no database yet."""
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
    # It is created under another name and then renamed, so that an incomplete database is never used.
    new = folder.root / "postgres.new"
    if new.exists():
        shutil.rmtree(new)
    new.mkdir(mode=0o700)
    who.take_over(new)
    # initdb's rules allow no login. Our own rules are written before the first start.
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
    """Write the whole configuration. What ALTER SYSTEM or others left there could run commands as this user."""
    for name in ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf"):
        (database / name).unlink(missing_ok=True)
    (database / "postgresql.conf").write_text(
        "# Written by `tracemill up` at each start: changes made here are lost.\n"
        f"listen_addresses = '{HOST}'\n"
        f"port = {stack.postgres_port}\n"
        # Only TCP with passwords. The path of a socket in the data folder could also be too long.
        "unix_socket_directories = ''\n"
        "password_encryption = 'scram-sha-256'\n"
        "max_connections = 200\n"
        "shared_buffers = '256MB'\n"
        "work_mem = '16MB'\n"
        "maintenance_work_mem = '128MB'\n"
        "max_wal_size = '2GB'\n"
        "fsync = on\n"
        # For short statements, compilation takes longer than execution.
        "jit = off\n"
        "timezone = 'UTC'\n"
        "log_timezone = 'UTC'\n"
        "lc_messages = 'C'\n"
        "log_line_prefix = '%m [%p] %q%u@%d '\n"
    )
    (database / "pg_hba.conf").write_text(f"host all all {HOST}/32 scram-sha-256\n")


def _remove_stale_pid(database: Path) -> None:
    """Remove the lock file of a crashed Postgres.

    Its pid may belong to an unrelated process now, and Postgres would then refuse to start.
    """
    pid_file = database / "postmaster.pid"
    if not pid_file.exists():
        return
    pid = pid_file.read_text().split("\n", 1)[0]
    try:
        is_running = os.readlink(f"/proc/{pid}/cwd") == str(database)
    except OSError:
        is_running = False
    if is_running:
        raise StackError(
            f"another Postgres (process {pid}) already runs on {database}. Stop it, then run `tracemill up` again."
        )
    if Path("/proc/self").exists():
        pid_file.unlink()


def _set_roles(folder: Folder, binaries: PostgresBinaries, who: Identity, stack: Stack) -> None:
    user, reader, database = stack.postgres_user, stack.reader_user, stack.postgres_database
    server = [
        *map(roles.create, (user, reader)),
        f"ALTER ROLE {user} LOGIN NOSUPERUSER NOCREATEROLE PASSWORD '{stack.postgres_password}'",
        f"ALTER ROLE {reader} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '{stack.reader_password}'",
        # Postgres has no IF NOT EXISTS for databases. From the second time on, this error is expected.
        f"CREATE DATABASE {database} OWNER {user}",
        f"REVOKE ALL ON DATABASE {database}, postgres, template1 FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {database} TO {reader}",
        # So that the feeder can end the reader's transactions.
        f"GRANT {reader} TO {user}",
        *roles.limit_reader(),
        *roles.limit_application(user),
    ]
    _run_alone(folder, binaries, who, "postgres", server, f'ERROR:  database "{database}" already exists')
    _run_alone(folder, binaries, who, database, list(roles.protect(user)))


def _run_alone(
    folder: Folder, binaries: PostgresBinaries, who: Identity, database: str, statements: list[str], expected: str = ""
) -> None:
    """Run statements as the superuser in single-user mode. Raises StackError for an error that is not expected."""
    done = who.run(
        # The error message of a failed statement must not hold its password.
        [
            str(binaries.folder / "postgres"),
            "--single",
            "-D",
            str(folder.postgres),
            "-c",
            "log_min_error_statement=panic",
            database,
        ],
        stdin="".join(f"{statement}\n" for statement in statements),
    )
    errors = [line for line in done.stdout.splitlines() if "ERROR:" in line and not (expected and expected in line)]
    if done.returncode != 0 or errors:
        raise StackError(f"Postgres {binaries.major} could not open {folder.postgres}:\n{_tail(done.stdout)}")


def _tail(output: str) -> str:
    return "\n".join(output.splitlines()[-15:])
