"""`tracemill db`: upgrade, downgrade and check the schema of the database, and create its roles."""

from typing import Annotated

import typer

from cli.output import console, print_line
from tracemill import stack as local
from tracemill.errors import TracemillError, UsageError, no_postgres
from tracemill.settings import settings

db = typer.Typer(help="The database: its schema and its roles.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(db, name="db", rich_help_panel="Settings")


def _url() -> str:
    url = settings().direct_url or settings().database_url
    if url is None:
        raise no_postgres("database_url")
    return url.get_secret_value()


ROLES = """Create the database and its three roles, or correct them after a change or a restore.

The roles and their passwords are those of the settings direct_url (owns the tables, migrates), database_url (all
processes; no right to change the schema) and reader_url (reads the views, within limits). The administrator is a
superuser, or on a managed server a role that may create roles and databases. Then the command lists the protections
that only a superuser can set.

Example: tracemill db roles"""


@db.command(help=ROLES)
def roles(
    admin: Annotated[
        str | None,
        typer.Option(
            envvar="TRACEMILL_ADMIN_URL",
            help="The administrator's address. The variable keeps its password off the command line.",
        ),
    ] = None,
) -> None:
    from db.roles import prepare

    current, stack = settings(), local.load(settings().data_dir)
    if stack is not None and current.database_url and current.database_url.get_secret_value() == stack.database_url:
        print_line("`tracemill up` has set the roles of the local stack")
        return
    if admin is None:
        raise UsageError("no administrator: set TRACEMILL_ADMIN_URL, for example to postgresql://postgres@db/postgres")
    urls = {name: getattr(current, name) for name in ("direct_url", "database_url", "reader_url")}
    if missing := [name for name, url in urls.items() if url is None]:
        raise UsageError(f"set {missing[0]}: it names a role and its password")
    addresses = [url.get_secret_value().replace("+psycopg", "", 1) for url in urls.values()]
    refused = prepare(admin, *addresses)
    for protection in refused:
        print_line(f"not set, because it needs a superuser: {protection}")
    print_line("the database and its roles are ready: run `tracemill db upgrade`")


@db.command(help="Create the tables and views, or upgrade them to this version. Example: tracemill db upgrade")
def upgrade() -> None:
    from db import migrate

    migrate.upgrade(_url())
    console.print("the schema is up to date")


@db.command(
    help="Return to an earlier revision. Deletes the views, and the data that only later revisions hold. "
    "Example: tracemill db downgrade 0003"
)
def downgrade(
    revision: Annotated[str, typer.Argument(help="The revision to return to. base deletes all tables.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    from db import migrate

    if not yes:
        typer.confirm(
            f"Return to {revision}? The views, and data that only later revisions hold, are deleted.", abort=True
        )
    migrate.downgrade(_url(), revision)
    console.print(f"the schema is that of {revision}", markup=False)


CHECK = """Compare the schema with this version, and the counts of each job with its rows. Exit code 1 if they differ.

It reads all traces and locks nothing. Example: tracemill db check"""


@db.command(help=CHECK)
def check(
    correct: Annotated[bool, typer.Option("--correct", help="Correct the counts of jobs.")] = False,
) -> None:
    from db import counts, migrate
    from db.session import transaction

    differences = migrate.differences(_url())
    if differences:
        raise TracemillError(f"the database differs from this version: {differences[0]}. Run `tracemill db upgrade`")
    with transaction() as connection:
        wrong = counts.differences(connection, correct=correct)
    for sentence in wrong:
        print_line(sentence)
    if wrong and not correct:
        raise TracemillError("counts differ from the rows: `tracemill db check --correct` corrects them")
    console.print("the schema is up to date, and the counts are right")
