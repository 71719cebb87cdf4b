"""Create the database and its roles on a server, or correct them: `tracemill db roles`."""

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, text

from db.views import VIEWS
from tracemill import roles
from tracemill.errors import UsageError, unreachable
from tracemill.roles import READER, READER_LIMITS, identifier, literal

Server = psycopg.Connection[Any]


def prepare(admin: str, owner: str, app: str, reader: str) -> list[str]:
    """Create the database of `owner`'s address and the roles of the three addresses, with their passwords.

    `admin` is the address of a superuser, or of a role that may create roles and databases. Returns the protections
    that the server refuses to such a role. Repeatable: it also corrects an existing or restored database.
    """
    logins = [_login(address) for address in (owner, app, reader)]
    (owner_role, _, database), (app_role, _, app_database), (reader_role, _, _) = logins
    if len({owner_role, app_role, reader_role}) < 3 or reader_role != READER:
        raise UsageError(
            "direct_url, database_url and reader_url must name three roles, the last one "
            f"{READER}; they name {owner_role}, {app_role}, {reader_role}"
        )
    if app_database != database:
        raise UsageError(f"direct_url names the database {database}, and database_url {app_database}")
    try:
        with psycopg.connect(admin, autocommit=True, connect_timeout=10) as server:
            _create_roles(server, logins)
            _create_database(server, database, owner_role, app_role)
            refused = list(_refused(server, _server_protections(app_role, owner_role)))
        with psycopg.connect(admin, dbname=database, autocommit=True, connect_timeout=10) as server:
            refused += _refused(server, roles.protect(owner_role, app_role))
            refused += _missing(server, database)
        with psycopg.connect(owner, autocommit=True, connect_timeout=10) as server:
            _grant(server, app_role)
    except psycopg.OperationalError as error:
        raise unreachable("Postgres", error) from None
    except psycopg.errors.InsufficientPrivilege as error:
        raise UsageError(f"the administrator's role may not do this: {error.diag.message_primary}") from None
    return refused


def missing_limits(connection: Connection) -> list[str]:
    """The names of the limits that the reader's sessions lack. A limit of another value than ours counts too."""
    query = text(
        "select 'connection limit' from pg_roles where rolname = :reader and rolconnlimit >= 0 union all "
        "select split_part(setting, '=', 1) from pg_db_role_setting join pg_roles r on r.oid = setrole, "
        "unnest(setconfig) as setting where rolname = :reader and setting !~ '=(0|-1)[a-z]*$'"
    )
    limits = set(connection.execute(query, {"reader": READER}).scalars())
    return [name for name in READER_LIMITS if name not in limits]


def _login(address: str) -> tuple[str, str, str]:
    """The role, the password and the database of an address."""
    parts = conninfo_to_dict(address)
    if missing := [name for name in ("user", "password", "dbname") if not parts.get(name)]:
        raise UsageError(f"the address of {parts.get('user', 'a role')} has no {missing[0]}")
    return str(parts["user"]), str(parts["password"]), str(parts["dbname"])


def _create_roles(server: Server, logins: list[tuple[str, str, str]]) -> None:
    names = [role for role, _, _ in logins]
    superusers = server.execute("select rolname from pg_roles where rolsuper and rolname = any(%s)", [names]).fetchall()
    if superusers:
        raise UsageError(f"{superusers[0][0]} is a superuser: choose another role for it in the settings")
    for role, password, _ in logins:
        _execute(server, roles.create(role))
        # Encrypted here, so that no log of the server holds the password.
        encrypted = server.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
        _execute(server, f"alter role {identifier(role)} login password {literal(encrypted)}")


def _create_database(server: Server, database: str, owner: str, app: str) -> None:
    if not server.execute("select rolsuper from pg_roles where rolname = current_user").fetchall()[0][0]:
        _execute(server, f"grant {identifier(owner)} to current_user")
    if not server.execute("select from pg_database where datname = %s", [database]).fetchall():
        _execute(server, f"create database {identifier(database)} owner {identifier(owner)}")
    _execute(server, f"revoke all on database {identifier(database)} from public")
    _execute(server, f"grant connect on database {identifier(database)} to {identifier(app)}, {READER}")
    # `tracemill enqueue` and the selection of a round use temporary tables.
    _execute(server, f"grant temporary on database {identifier(database)} to {identifier(app)}")


def _server_protections(app: str, owner: str) -> Iterator[str]:
    # So that the feeder can end the reader's transactions.
    yield f"grant {READER} to {identifier(app)}, {identifier(owner)}"
    yield from roles.limit_reader()
    yield from roles.limit_application(app)
    yield "revoke all on database postgres, template1 from public"


def _grant(server: Server, app: str) -> None:
    """Let the application write the rows of all tables, also of later ones, and the reader read the views."""
    # Since Postgres 17, `maintain` lets a large enqueue analyze its tables.
    rights = "select, insert, update, delete" + (", maintain" if server.info.server_version >= 170_000 else "")
    _execute(server, f"alter default privileges in schema public grant {rights} on tables to {identifier(app)}")
    _execute(server, f"grant {rights} on all tables in schema public to {identifier(app)}")
    existing = server.execute("select viewname from pg_views where viewname = any(%s)", [list(VIEWS)]).fetchall()
    for (view,) in existing:
        _execute(server, f"grant select on {view} to {READER}")


def _refused(server: Server, statements: Iterator[str]) -> Iterator[str]:
    """Run each statement; yield those that need a superuser."""
    for statement in statements:
        try:
            _execute(server, statement)
        except psycopg.errors.InsufficientPrivilege as error:
            yield f"{statement}: {error.diag.message_primary}"


def _missing(server: Server, database: str) -> Iterator[str]:
    """The protections that are not in force: Postgres only warns about a `revoke` without effect."""
    for example in ("pg_advisory_lock(bigint)", "lo_create(oid)"):
        if _is_true(server, "has_function_privilege(%s, %s, 'execute')", READER, f"pg_catalog.{example}"):
            yield f"{READER} may call {example}"
    if _is_true(server, "has_language_privilege(%s, 'plpgsql', 'usage')", READER):
        yield f"{READER} may run procedural code"
    others = (
        "select datname from pg_database where datallowconn and datname <> %s "
        "and has_database_privilege(%s, datname, 'connect')"
    )
    for (name,) in server.execute(others, [database, READER]).fetchall():
        yield f"{READER} may connect to the database {name}"


def _is_true(server: Server, expression: str, *values: str) -> bool:
    return bool(server.execute(f"select {expression}".encode(), values).fetchall()[0][0])


def _execute(server: Server, statement: str) -> None:
    server.execute(statement.encode())
