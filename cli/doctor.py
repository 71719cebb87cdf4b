"""`tracemill doctor`: what this machine has and lacks, each with the remedy."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict

import typer

from cli.doctor_machine import machine
from cli.doctor_models import aliases, ask, memory_plans
from cli.doctor_safety import safety
from cli.doctor_services import services
from cli.findings import Finding
from cli.output import Json, print_json, print_line, print_rows, progress_console
from tracemill.errors import TracemillError
from tracemill.settings import Settings, settings
from tracemill.stack import ProcessStatus

DOCTOR = """Examine this machine: Python, GPUs, libraries, Postgres, Redis, sandbox, disk, ports and every model alias.

It warns of what others could read or control: the data folder, keys over http, Flower, the read-only role. It asks no
server longer than a few seconds and changes nothing. Exit code 1 if something needed is broken; warnings do not count.

Example: tracemill doctor"""

COLUMNS = ("check", "state", "result")


def register(app: typer.Typer) -> None:
    app.command(help=DOCTOR, rich_help_panel="Local stack")(doctor)


def doctor(json: Json = False) -> None:
    current = settings()
    with progress_console.status("examining this machine"):
        findings = list(examine(current))
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_findings(findings)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


def examine(current: Settings) -> Iterator[Finding]:
    """Yield every finding about this machine and the settings."""
    reports = _reports()
    engines = [current.models[alias].engine for alias in current.local.served if alias in current.models]
    runs = any(report.pid for report in reports)
    yield from machine(current, needs_vllm="vllm" in engines, stack_runs=runs)
    yield from services(current, reports)
    yield from safety(current)
    answers = ask(current)
    yield from aliases(current, answers)
    yield from memory_plans(current, answers)


def _reports() -> list[ProcessStatus]:
    """The status of the local stack's programs; empty where it cannot be read."""
    from db.diagnosis import programs

    with suppress(TracemillError):
        return programs()
    return []


def print_findings(findings: Iterable[Finding]) -> None:
    """Print one row a check, with the remedy below the result, and a sentence with the counts."""
    rows = list(findings)
    texts = [f"{row.result}\n→ {row.advice}" if row.advice else row.result for row in rows]
    print_rows((asdict(row) | {"result": text} for row, text in zip(rows, texts, strict=True)), COLUMNS)
    counts = {state: sum(row.state == state for row in rows) for state in ("broken", "warning")}
    n_broken, n_warnings = counts.values()
    warnings = f"{n_warnings} warning{'' if n_warnings == 1 else 's'}"
    print_line(f"{n_broken} broken, {warnings}" if n_broken else f"everything needed is here, {warnings}")
