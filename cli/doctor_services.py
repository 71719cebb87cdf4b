"""Checks of `tracemill doctor`: Postgres, Redis, the programs of the local stack, and ports."""

from collections.abc import Callable, Iterator

from cli.findings import Finding
from cli.health import Part, postgres_part, redis_part
from cli.stack import FAILED
from tracemill import stack as local
from tracemill.errors import TracemillError
from tracemill.roles import READER
from tracemill.settings import Settings
from tracemill.stack import ProcessStatus, Stack, postgres
from tracemill.stack.binaries import find_redis
from tracemill.stack.state import folder_of, is_free

START = "`tracemill up` starts it"
RESTART = "`tracemill down`, then `tracemill up`: the start of Postgres sets them"


def services(settings: Settings, reports: list[ProcessStatus]) -> Iterator[Finding]:
    """The findings about the services. `reports`: the status of the local stack's programs."""
    stack = local.load(settings.data_dir)
    for name, url, address, part, program in (
        ("Postgres", settings.database_url, stack and stack.database_url, postgres_part, _postgres_program(settings)),
        ("Redis", settings.redis_url, stack and stack.redis_url, redis_part, _redis_program),
    ):
        is_local = url is None or url.get_secret_value() == address
        if is_local and not any(report.name == name.lower() and report.pid for report in reports):
            yield _program(name, program)
        else:
            yield (finding := _answer(name, part(), is_local))
            if name == "Postgres" and finding.state == "ok":
                yield _reader(is_local)
    yield from _ports(settings, stack, reports)
    yield from _programs(reports)


def _answer(name: str, part: Part, is_local: bool) -> Finding:
    if part.trouble is None:
        return Finding(name, "ok", f"it answers, {'in the local stack' if is_local else 'elsewhere'}")
    advice = (
        "tracemill up" if is_local else f"start it, or correct {'database' if name == 'Postgres' else name.lower()}_url"
    )
    if "schema" in part.trouble:
        advice = "tracemill db upgrade"
    return Finding(name, "broken", part.trouble, advice)


def _reader(is_local: bool) -> Finding:
    """Whether the sessions of the read-only role have limits."""
    from db.roles import missing_limits
    from db.session import transaction

    with transaction() as connection:
        missing = missing_limits(connection)
    if not missing:
        return Finding("reader role", "ok", "its sessions have limits")
    result = f"{READER} has no {', no '.join(missing)}"
    return Finding("reader role", "warning", result, RESTART if is_local else "tracemill db roles")


def _program(name: str, find: Callable[[], str]) -> Finding:
    """Whether the local stack can start a service that does not run."""
    try:
        return Finding(name, "ok", f"{find()}; {START}")
    except TracemillError as error:
        return Finding(name, "broken", "it cannot be started here", str(error))


def _postgres_program(settings: Settings) -> Callable[[], str]:
    return lambda: f"version {postgres.find(folder_of(settings.data_dir)).major} is installed"


def _redis_program() -> str:
    return f"{find_redis().name} is installed"


def _ports(settings: Settings, stack: Stack | None, reports: list[ProcessStatus]) -> Iterator[Finding]:
    running = {report.name for report in reports if report.pid}
    if stack is not None and running:
        ports = {"Postgres": stack.postgres_port, "Redis": stack.redis_port, "Flower": stack.flower_port}
        shown = ", ".join(f"{name} {port}" for name, port in ports.items() if name.lower() in running)
        yield Finding("ports", "ok", f"in use by the local stack: {shown}")
        return
    fixed = {"postgres_port": settings.local.postgres_port, "redis_port": settings.local.redis_port}
    taken = [f"{key} = {port}" for key, port in fixed.items() if port is not None and not is_free(port)]
    if taken:
        advice = "choose another port under [local], or remove the setting: `up` then chooses a free one"
        yield Finding("ports", "broken", f"taken by another program: {', '.join(taken)}", advice)
    else:
        kept = [port for port in fixed.values() if port is not None]
        yield Finding(
            "ports", "ok", f"free: {', '.join(map(str, kept))}" if kept else "`tracemill up` chooses free ones"
        )


def _programs(reports: list[ProcessStatus]) -> Iterator[Finding]:
    """The local stack: one finding, or one for each failed program."""
    running = [report for report in reports if report.pid]
    failed = [report for report in reports if report.failure or report.state in FAILED]
    for report in failed:
        advice = f"correct it, then: tracemill restart {report.name}. Log: {report.log}"
        yield Finding(f"program {report.name}", "broken", report.failure or report.state, advice)
    if not failed:
        yield Finding("local stack", "ok", f"{len(running)} programs run" if running else "it does not run")
