"""`tracemill view`: the page for reading traces."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import typer

from cli.output import Json, print_json, print_line
from tracemill.errors import UsageError

if TYPE_CHECKING:
    from web.records import Store

#: A given token stands in an address, and must be hard to guess.
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")

VIEW = """Read traces in a browser: jobs, their questions, and every sample with what the checks found in it.

WHAT is a job, a .jsonl or .parquet file of traces by any tool, or a folder of such files. Files need no stack.
Without it the page shows all jobs.

The page only reads. It listens on this machine alone, and only the printed address with its token opens it. Ctrl-C
ends it.

Example: tracemill view traces.jsonl"""


def register(app: typer.Typer) -> None:
    app.command(help=VIEW, rich_help_panel="Traces")(view)


def view(
    what: Annotated[str | None, typer.Argument(metavar="[WHAT]", help="A job, a file or a folder.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on loopback; 0: a free one.")] = 0,
    token: Annotated[
        str | None, typer.Option(help="The token of the address (default: a new one). `ps` shows it to other users.")
    ] = None,
    json: Json = False,
) -> None:
    if not (find_spec("starlette") and find_spec("uvicorn")):
        raise UsageError("starlette and uvicorn are not installed. Run: pip install 'tracemill[page]'")
    if token is not None and not TOKEN.fullmatch(token):
        raise UsageError("--token: use 16 to 128 letters, digits, - and _")
    from web.serve import serve

    def started(address: str) -> None:
        if json:
            print_json({"address": address})
        else:
            print_line(f"open {address}\nCtrl-C ends the page")
        sys.stdout.flush()

    store, path = _opened(what)
    serve(store, path, port=port, token=token, started=started)


def _opened(what: str | None) -> "tuple[Store, str]":
    """The store of the argument, and the page that shows it."""
    from web.files import FileStore

    file = Path(what).expanduser() if what else None
    if file is not None and file.exists():
        files = FileStore(file)
        return files, f"/questions?{urlencode({'job': files.names[0]})}" if len(files.names) == 1 else "/"
    if file is not None and (file.suffix in (".jsonl", ".ndjson", ".parquet", ".gz")):
        raise UsageError(f"there is no file {what}")
    from web.jobs import JobStore

    jobs = JobStore()
    if what is None:
        return jobs, "/"
    jobs.require(what)
    return jobs, f"/questions?{urlencode({'job': what})}"
