"""The roles of the database, as SQL that an administrator of the server runs.

The owner migrates. The application reads and writes rows. The reader, for people who write SQL, reads the views. The
limits of sessions belong to the roles, because a pooler gives each transaction another session.

By default every role of Postgres may take advisory locks, store large objects and run procedural code. These rights
belong to a whole database, so the statements below take them from everybody and return them to our own roles. Postgres
cannot prevent that a session raises its own timeouts or its `work_mem`: the feeder ends transactions of the reader that
last too long (`feeder.reader_seconds`), and memory has no limit for a role.
"""

from collections.abc import Iterator

from tracemill.keepalive import BROKEN, POSTGRES_SERVER

READER = "tracemill_reader"

#: The reader's limits, by name. The last one needs a superuser.
READER_LIMITS = {
    "connection limit": "connection limit 20",
    "statement_timeout": "set statement_timeout = '15min'",
    "idle_in_transaction_session_timeout": "set idle_in_transaction_session_timeout = '1min'",
    "temp_file_limit": "set temp_file_limit = '10GB'",
}
#: Settings of every session of the application. A process that is frozen in a transaction keeps its locks for at most
#: `BROKEN` seconds. Another process that waits for a lock fails earlier and tries again (`db.retry`).
APPLICATION = {
    **{name: str(value) for name, value in POSTGRES_SERVER.items()},
    "idle_in_transaction_session_timeout": f"{BROKEN}s",
    "lock_timeout": "10s",
}
#: Functions of Postgres that take an advisory lock, and functions that read or write large objects.
LOCKS, LARGE_OBJECTS = "^pg_(try_)?advisory_(xact_)?lock", "^(lo_|loread$|lowrite$)"


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def create(role: str) -> str:
    """Create a role without rights, unless it exists."""
    return (
        f"do $$ begin if not exists (select from pg_roles where rolname = {literal(role)}) "
        f"then create role {identifier(role)}; end if; end $$"
    )


def limit_reader() -> Iterator[str]:
    """Limit the sessions of the reader."""
    yield from (f"alter role {READER} {limit}" for limit in READER_LIMITS.values())


def limit_application(role: str) -> Iterator[str]:
    """Limit the sessions of the application, from their next start."""
    yield from (f"alter role {identifier(role)} set {name} = {literal(value)}" for name, value in APPLICATION.items())


def protect(*ours: str) -> Iterator[str]:
    """Keep the current database for our roles: locks, large objects, procedural code, new tables."""
    names = ", ".join(map(identifier, ours))
    yield "revoke create on schema public from public"
    yield "revoke usage on language plpgsql from public"
    yield f"grant usage on language plpgsql to {names}"
    yield _for_each_function(f"{LOCKS}|{LARGE_OBJECTS}", "revoke execute on function %s from public")
    yield _for_each_function(LOCKS, f"grant execute on function %s to {names}")


def _for_each_function(pattern: str, statement: str) -> str:
    return (
        "do $$ declare f regprocedure; begin for f in select oid from pg_proc "
        f"where pronamespace = 'pg_catalog'::regnamespace and proname ~ {literal(pattern)} "
        f"loop execute format({literal(statement)}, f); end loop; end $$"
    )
