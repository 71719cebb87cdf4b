"""`tracemill producer`, `worker generate|verify|train` and `celery`: run and inspect the processes of a cluster."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from cli.output import print_line, progress_console
from tracemill.cards import cards, uses_cards
from tracemill.errors import EngineDead
from tracemill.lending import LENDING, Tenancy
from tracemill.queues import TRAIN_QUEUE, generate_queue, verify_queue
from tracemill.settings import model, settings

worker = typer.Typer(help="Run a worker: one Celery worker, in the foreground.", no_args_is_help=True)

Judge = Annotated[str | None, typer.Option(help="Model alias that rates traces, for jobs whose policy has a judge.")]


def register(app: typer.Typer) -> None:
    app.command(help=PRODUCER, rich_help_panel="Processes")(producer)
    app.add_typer(worker, name="worker", rich_help_panel="Processes")
    app.command(help=CELERY, rich_help_panel="Processes", context_settings=PASS_THROUGH)(celery)


PRODUCER = """Run the feeder, which fills the queues. For failover run two: one of them leads.

Example: tracemill producer"""


def producer() -> None:
    from producer.feeder import feed

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    feed(stopped.is_set)


#: Pass all arguments to Celery, also options and `--help`.
PASS_THROUGH = {"allow_extra_args": True, "allow_interspersed_args": False}

CELERY = """Run a command of Celery on Tracemill's app: inspect, status, control, purge, flower, …

Example: tracemill celery inspect active"""


def celery(context: typer.Context) -> None:
    from click import ClickException

    from tracemill.celery import app
    from tracemill.stack.flower import restrict

    if "flower" in context.args:
        restrict()
    try:
        code = app.start(context.args)
    except ClickException as error:
        error.show()
        code = error.exit_code
    raise typer.Exit(code or 0)


@worker.command(help="Answer questions with a model. Example: tracemill worker generate --model teacher")
def generate(
    models: Annotated[
        list[str], typer.Option("--model", help="Model alias. Repeat the option to serve several models.")
    ],
    judge: Judge = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Maximum of samples in an engine (default: generate_concurrency).")
    ] = None,
    lend: Annotated[
        bool, typer.Option("--lend", help="Let the engines sleep while a trainer of this machine needs their GPUs.")
    ] = False,
) -> None:
    from db.pauses import resume
    from tracemill.engines.memory_plan import SHARE, worker_shares
    from tracemill.engines.registry import capacity, close_engines, engine, set_options
    from workers.room import with_spare

    if concurrency:
        os.environ["TRACEMILL_GENERATE_CONCURRENCY"] = str(concurrency)
        settings.cache_clear()
    served = [*models, *([judge] if judge else [])]
    for alias in served:
        model(alias)  # an unknown alias is an error before a model is loaded

    def load() -> int:
        resume(served)
        if lend:
            _lend_cards(served)
        for alias, share in worker_shares(served).items():
            set_options(alias, **{SHARE: share})
        return sum(map(capacity, {engine(alias) for alias in models}))

    queues = [*map(generate_queue, models), *([verify_queue(judge)] if judge else [])]
    try:
        _celery("generate", queues, load, threads=with_spare)
    finally:
        close_engines()


def _lend_cards(served: Sequence[str]) -> None:
    """Lend this worker's GPUs to the fits of a trainer with the same data folder. Waits while a fit holds them."""
    from tracemill.engines.registry import set_options, sleep_engines, wake_engines
    from tracemill.engines.vllm import SLEEP_MODE
    from workers.pause import pause, resume
    from workers.shutdown import engine_died

    visible = [card.id for card in cards()]
    if not visible:
        return
    for alias in served:
        if uses_cards(model(alias)):
            set_options(alias, **{SLEEP_MODE: True})
    tenancy = Tenancy(settings().data_dir.resolve(), visible)
    tenancy.enter()

    def sleep() -> None:
        pause()
        sleep_engines()

    def wake() -> None:
        wake_engines()
        resume()

    def lend() -> None:
        try:
            tenancy.lend(sleep, wake)
        except Exception as error:  # the state of the engine is unknown now
            engine_died(EngineDead(f"the engine cannot lend its GPU to a fit: {error}"))

    threading.Thread(target=lend, name="tracemill-lender", daemon=True).start()


@worker.command(help="Verify traces. Example: tracemill worker verify --judge verifier")
def verify(
    judge: Judge = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Maximum of questions at a time (default: one a core).")
    ] = None,
) -> None:
    from db.pauses import resume
    from tracemill.engines.registry import close_engines
    from tracemill.verification.pipeline import sandbox

    if judge:
        model(judge)
    if reason := sandbox().refusal:
        print_line(f"programs (kind code) are not verified here: {reason}", progress_console)
    queues = [verify_queue(None), *([verify_queue(judge)] if judge else [])]

    def load() -> int:
        if judge:
            resume([judge])
        return concurrency or settings().verify_concurrency or os.cpu_count() or 1

    try:
        _celery("verify", queues, load)
    finally:
        close_engines()


@worker.command(help="Train rounds, one at a time. Example: tracemill worker train")
def train() -> None:
    _celery("train", [TRAIN_QUEUE], lambda: 1)


def _celery(kind: str, queues: list[str], load: Callable[[], int], threads: Callable[[int], int] = int) -> None:
    """Run a Celery worker with a pool of threads, so that its tasks share one engine. It ends with exit code 0.

    `load` loads its models first, and returns its concurrency. Until the worker takes tasks, its heartbeats show that
    it is loading or starting, and while it lends its GPU that it does so.
    """
    from celery.signals import worker_ready

    from db.heartbeat import leave, present, process_name
    from tracemill.celery import app
    from tracemill.engines.registry import trouble
    from workers.pause import is_paused
    from workers.shutdown import at_the_end

    at_the_end(lambda: leave(kind))
    concurrency = 0

    def current_concurrency() -> int:
        return 0 if is_paused() else concurrency

    def current_trouble() -> str | None:
        return LENDING if is_paused() else trouble()

    with present(kind, queues=queues, concurrency=current_concurrency, trouble=current_trouble) as beat:
        loaded = load()

        @worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]  # celery is not typed
        def takes_tasks(**_: Any) -> None:
            nonlocal concurrency
            concurrency = loaded
            beat()

        options = [
            "--pool=threads",
            f"--concurrency={threads(loaded)}",
            f"--queues={','.join(queues)}",
            f"--hostname={process_name(kind)}",
        ]
        app.worker_main(["worker", *options, "--events", "--without-gossip", "--without-mingle", "--loglevel=WARNING"])
