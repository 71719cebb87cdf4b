"""`tracemill db`: the schema."""

from typing import Annotated

import typer

from cli.output import console
from tracemill.errors import StackError, TracemillError
from tracemill.settings import settings

db = typer.Typer(help="The database's schema.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(db, name="db", rich_help_panel="Settings")


def _url() -> str:
    url = settings().database_url
    if url is None:
        raise StackError("no Postgres: start the local stack with `tracemill up`, or set database_url")
    return url.get_secret_value()


@db.command(help="Create the tables and views, or bring them to this version. Example: tracemill db upgrade")
def upgrade() -> None:
    from db import migrate

    migrate.upgrade(_url())
    console.print("the schema is up to date")


@db.command(
    help="Go back to an earlier revision. What only later ones hold is lost, and the views. "
    "Example: tracemill db downgrade 0003"
)
def downgrade(
    revision: Annotated[str, typer.Argument(help="The revision to go back to; base: no table is left.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    from db import migrate

    if not yes:
        typer.confirm(f"Go back to {revision}? What only later revisions hold is lost.", abort=True)
    migrate.downgrade(_url(), revision)
    console.print(f"the schema is that of {revision}", markup=False)


@db.command(help="Exit 1 if the database differs from this version's tables and views. Example: tracemill db check")
def check() -> None:
    from db import migrate

    differences = migrate.differences(_url())
    if differences:
        raise TracemillError(f"the database differs from this version: {differences[0]} … run `tracemill db upgrade`")
    console.print("the schema is up to date")
