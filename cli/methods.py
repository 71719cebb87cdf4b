"""`tracemill methods`: the methods, and the exact prompts of each."""

from typing import Annotated, Any

import typer

from cli.output import Json, console, print_json, print_line, print_rows
from tracemill.errors import UsageError
from tracemill.prompts import DOMAINS

METHODS = """List the methods, or show the prompts of one of them.

Example: tracemill methods

Example: tracemill methods refine --domain code"""


def register(app: typer.Typer) -> None:
    app.command(help=METHODS, rich_help_panel="Jobs")(methods)


def methods(
    name: Annotated[str | None, typer.Argument(help="The method to show.")] = None,
    domain: Annotated[str, typer.Option(help="Show the prompts for questions of this domain.")] = "math",
    json: Json = False,
) -> None:
    from tracemill.methods import all_methods, named

    if domain not in DOMAINS:
        raise UsageError(f"--domain {domain}: there are {', '.join(DOMAINS)}")
    shown = [named(name)] if name else list(all_methods().values())
    rows = [
        {
            "method": method.name,
            "variants": [variant for variant in method.variants(domain, []) if variant],
            "calls": [call.name for call in next(iter(method.variants(domain, []).values()))],
            "needs": sorted(method.needs),
            "negative": method.negative,
            "paper": method.paper,
        }
        for method in shown
    ]
    if json:
        prompts = {"prompts": _prompts(name, domain)} if name else {}
        print_json([row | prompts for row in rows])
        return
    cells = ({key: ", ".join(v) if isinstance(v, list) else v for key, v in row.items()} for row in rows)
    print_rows(cells, ("method", "variants", "calls", "needs", "negative", "paper"))
    if name:
        for prompt in _prompts(name, domain):
            heading = " ".join(part for part in (prompt["variant"], prompt["call"]) if part)
            console.print(f"\n[b]{heading}[/b] {prompt['hash']}", soft_wrap=True)
            for message in prompt["messages"]:
                print_line(f"{message['role']}: {message['content']}")


def _prompts(name: str, domain: str) -> list[dict[str, Any]]:
    from tracemill.methods import named

    return [
        {"variant": variant, "call": call.name, "hash": call.prompt.hash, "messages": call.prompt.messages}
        for variant, chain in named(name).variants(domain, []).items()
        for call in chain
    ]
