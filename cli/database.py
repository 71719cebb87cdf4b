"""`tracemill db`: upgrade, downgrade and check the schema of the database."""

from typing import Annotated

import typer

from cli.output import console
from tracemill.errors import TracemillError, no_postgres
from tracemill.settings import settings

db = typer.Typer(help="Upgrade, downgrade and check the schema of the database.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(db, name="db", rich_help_panel="Settings")


def _url() -> str:
    url = settings().database_url
    if url is None:
        raise no_postgres("database_url")
    return url.get_secret_value()


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


@db.command(help="Compare the database with this version. Exit code 1 if they differ. Example: tracemill db check")
def check() -> None:
    from db import migrate

    differences = migrate.differences(_url())
    if differences:
        raise TracemillError(f"the database differs from this version: {differences[0]}. Run `tracemill db upgrade`")
    console.print("the schema is up to date")
