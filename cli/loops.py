"""`tracemill loops`: list, show and stop loops."""

from typing import Annotated

import typer

from cli.loop import as_json, print_loop
from cli.output import Json, console, print_json, print_rows
from db.session import transaction
from trainer.compare import percent
from trainer.loops import Loop, all_loops, loop_named, results
from trainer.loops import stop_loop as stop_running

loops = typer.Typer(help="Loops: list, show, stop.", invoke_without_command=True)

Name = Annotated[str, typer.Argument(help="The loop's name.")]
STOP = """Stop a loop: it opens no more jobs or rounds. The job or round that it waits for continues.

`tracemill loop FILE` continues the loop. Example: tracemill loops stop star"""


def register(app: typer.Typer) -> None:
    app.add_typer(loops, name="loops", rich_help_panel="Training")


@loops.callback()
def _default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@loops.command("list", help="All loops and their states. Example: tracemill loops list --json")
def list_(json: Json = False) -> None:
    rows = all_loops()
    if json:
        print_json([as_json(loop) for loop in rows])
    else:
        print_rows(map(_line, rows), ("loop", "state", "round", "right %", "waits for"))


@loops.command(help="One loop: its state and the results of its rounds. Example: tracemill loops show star")
def show(name: Name, json: Json = False) -> None:
    loop = loop_named(name)
    if json:
        print_json(as_json(loop))
        return
    fields = _line(loop) | {
        "error": loop.error,
        "asks": loop.spec.attempt.source,
        "reported on": ", ".join(loop.spec.evaluate.jobs),
        "ends by": ", ".join(loop.spec.dev.jobs) if loop.spec.dev is not None else "its number of rounds",
        "opened": loop.created_at,
        "finished": loop.finished_at,
    }
    print_rows([{"": key, "value": value} for key, value in fields.items() if value not in (None, "")], ("", "value"))
    print_loop(loop)


@loops.command(help=STOP)
def stop(name: Name, json: Json = False) -> None:
    loop = stop_running(name)
    if json:
        print_json(as_json(loop))
        return
    cancel = f". To end that job too: tracemill jobs cancel {loop.awaits}" if loop.step != "train" else ""
    console.print(
        f"loop {name} is stopped and opens no more jobs or rounds; {loop.awaits} continues{cancel}",
        markup=False,
        soft_wrap=True,
    )


def _line(loop: Loop) -> dict[str, object]:
    with transaction() as connection:
        rounds = results(connection, loop)
    return {
        "loop": loop.name,
        "state": loop.state,
        "round": f"{loop.round} of {loop.spec.rounds}",
        "right %": percent(rounds[-1].after) if rounds else "",
        "waits for": loop.awaits if loop.state == "running" else "",
    }
