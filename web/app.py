"""The pages and their addresses. Every page is HTML made here; the browser runs one small script for the keyboard."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from tracemill.errors import TracemillError, UsageError
from tracemill.text import printable
from trainer.compare import p_value, percent, points
from web.figures import cell
from web.filters import RANGED, VERDICTS, Filters, read_filters
from web.guard import Guard
from web.marks import KINDS, read
from web.meanings import meaning
from web.records import MAX_SHOWN, ROWS, JobRow, Store

if TYPE_CHECKING:
    from web.rounds import RoundStore

#: Characters of a short field that are shown, such as a name, an answer or an error.
MAX_FIELD = 1_000


def application(store: Store, token: str, port: int) -> ASGIApp:
    """The page over a store, for requests with the token."""
    pages = Pages(store)
    routes = [
        Route("/", pages.jobs),
        Route("/questions", pages.questions),
        Route("/question", pages.question),
        Route("/neighbour", pages.neighbour),
        Route("/text", pages.text),
        Route("/rounds", pages.rounds),
        Route("/round", pages.round),
        Route("/examples", pages.examples),
        Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
    ]
    handlers: Mapping[Any, Any] = {HTTPException: pages.problem, TracemillError: pages.problem}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), token, port)


class Pages:
    """The handlers of the addresses."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._environment = Environment(
            loader=PackageLoader("web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "safe_text": safe_text,
            "cell": cell,
            "percent": percent,
            "points": points,
            "p": p_value,
        }
        self._environment.globals |= {"meaning": meaning, "KINDS": KINDS, "MAX_SHOWN": MAX_SHOWN, "url": url}

    def jobs(self, request: Request) -> Response:
        """All jobs, or the files of a folder."""
        return self._render("jobs.html", jobs=self._store.jobs())

    def questions(self, request: Request) -> Response:
        """The questions of a job that pass the filters."""
        job, filters = self._job(request), read_filters(request.query_params)
        listed = self._store.questions(job, filters, whole_number(request, "after", -1))
        return self._render("questions.html", job=job, filters=filters, listed=listed, VERDICTS=VERDICTS, RANGED=RANGED)

    def question(self, request: Request) -> Response:
        """A question with its samples."""
        job, filters = self._job(request), read_filters(request.query_params)
        number, start = whole_number(request, "id", -1), whole_number(request, "start", 0)
        page = self._store.question(job, number, start)
        if page is None:
            raise HTTPException(404, f"Job {job.name} has no question {number}.")
        readings = [(sample, read(sample, page.text)) for sample in page.samples]
        return self._render("question.html", job=job, filters=filters, page=page, readings=readings)

    def neighbour(self, request: Request) -> Response:
        """Go to the next or the previous question that passes the filters."""
        job, filters = self._job(request), read_filters(request.query_params)
        forwards = request.query_params.get("to") != "previous"
        number = self._store.neighbour(job, filters, whole_number(request, "id", -1), forwards=forwards)
        if number is None:
            raise HTTPException(404, f"This is the {'last' if forwards else 'first'} question of this view.")
        return RedirectResponse(url("/question", job.name, filters, id=number), 303)

    def text(self, request: Request) -> Response:
        """The whole text of a sample, as plain text."""
        job = self._job(request)
        number, sample = whole_number(request, "id", -1), whole_number(request, "sample", -1)
        text = self._store.whole_text(job, number, sample)
        if text is None:
            raise HTTPException(404, f"Job {job.name} has no such sample.")
        return PlainTextResponse(printable(text))

    def rounds(self, request: Request) -> Response:
        """All rounds."""
        return self._render("rounds.html", rounds=self._rounds().rounds())

    def round(self, request: Request) -> Response:
        """A round: before and after, and its flips."""
        name, benchmark = request.query_params.get("round", ""), request.query_params.get("benchmark", "")
        page = self._rounds().round(name)
        if page is None:
            raise HTTPException(404, f"There is no round {name}.")
        flips = self._rounds().flips(name, benchmark, whole_number(request, "after", -1))
        return self._render("round.html", page=page, flips=flips[:ROWS], has_more=len(flips) > ROWS)

    def examples(self, request: Request) -> Response:
        """The examples of a round's training."""
        name = request.query_params.get("round", "")
        examples = self._rounds().examples(name, whole_number(request, "after", -1))
        return self._render("examples.html", name=name, examples=examples[:ROWS], has_more=len(examples) > ROWS)

    def problem(self, request: Request, error: Exception) -> Response:
        """A page with one sentence."""
        if isinstance(error, HTTPException):
            return self._render("problem.html", error.status_code, sentence=error.detail)
        return self._render("problem.html", 404 if isinstance(error, UsageError) else 503, sentence=str(error))

    def _job(self, request: Request) -> JobRow:
        name = request.query_params.get("job", "")
        job = self._store.job(name)
        if job is None:
            raise HTTPException(404, f"There is no job {name}.")
        return job

    def _rounds(self) -> "RoundStore":
        if self._store.rounds is None:
            raise HTTPException(404, "A file has no rounds.")
        return self._store.rounds

    def _render(self, template: str, status: int = 200, **values: Any) -> Response:
        content = self._environment.get_template(template).render(has_rounds=self._store.rounds is not None, **values)
        return HTMLResponse(content, status)


def url(path: str, job: str, filters: Filters, **parameters: Any) -> str:
    """An address with the job and the filters that are on."""
    return f"{path}?{urlencode({'job': job, **filters.as_query(), **parameters})}"


def safe_text(text: object, limit: int = MAX_FIELD) -> Markup:
    """Text of a model: escaped, cut, and with the characters visible that a browser would obey or hide."""
    whole = str(text)
    return escape(printable(whole[:limit]) + ("…" if len(whole) > limit else ""))


def whole_number(request: Request, name: str, default: int) -> int:
    """A parameter that is a whole number from 0 that Postgres can store; otherwise the default."""
    digits = request.query_params.get(name, "")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else default
