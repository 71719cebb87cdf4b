"""The page over Postgres, as the read-only role: jobs, their questions, a question, and rounds."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from db.session import transaction
from db.tables import Question
from tests.conftest import empty, forget
from tests.integration import scenario
from tests.integration.scenario import add, job, settled_question, trace, verdict
from tests.unit.web.pages import PORT, TOKEN, Elements
from tracemill.errors import UsageError
from tracemill.stack import Stack
from web import jobs, reader
from web.app import application
from web.jobs import JobStore

pytestmark = pytest.mark.integration

#: The job with many questions: its id, and the ids of its first and last question.
MANY, FIRST, LAST = 40, 1001, 1060
LONG = "B" * 50_000
WRONG = (
    "Step 1: Begin. We have 3 + 4 = 8.\n\nStep 2: <b>We take 977\x1b[0m of them.\n\n"
    "Step 3: Repeat. We have 3 + 4 = 8.\nThe answer is 8."
)


@pytest.fixture(scope="module")
def store(stack: Stack) -> Iterator[JobStore]:
    """The page's store over the scenario, with one more job of 60 questions."""
    forget()
    empty(stack)
    with transaction() as connection:
        scenario.build(connection)
        job(connection, MANY, "many/cot", samples=2, most=2)
        for n in range(FIRST, LAST + 1):
            words = f"What is {n} plus <i>four</i>?"
            keys = {"content_hash": f"many {n}", "fingerprint": f"many {n}", "dataset": "sums", "domain": "math"}
            add(connection, Question, id=n, question=words, gold=str(n), **keys)
            settled_question(connection, MANY, n, "done", 2, n % 3, None)
            right = {"text": f"So it is {n}.", "answer_text": None, "thoughts": None, "reasoning": None, "steps": []}
            trace(connection, 10_000 + n, MANY, n, 0, **right, calls=[])
            verdict(connection, 10_000 + n, correct=True, accepted=n % 3 > 0, unused=n - FIRST)
        with_findings(connection)
    opened = JobStore()
    yield opened
    opened.close()


def with_findings(connection: Any) -> None:
    """A second sample of the first question, which is wrong and long, and a draft before it."""
    draft = [{"call": "draft", "text": "A first try.", "prompt_hash": "teach-prompt"}]
    columns = {"text": WRONG + LONG, "answer_text": None, "thoughts": "Let me <think>.", "answer": "8", "steps": []}
    trace(connection, 30_001, MANY, FIRST, 1, **columns, reasoning=None, calls=draft, worker="gpu-7")
    findings = [{"step": 0, "false_equation": "3 + 4 = 8"}, {"step": 1, "ungrounded": "977"}]
    row = {"findings": findings, "correct": False, "accepted": False, "refused": "it is too long", "unused": 1000}
    verdict(connection, 30_001, **row, signals={"rating": 0.25})


@pytest.fixture
def page(store: JobStore) -> TestClient:
    client = TestClient(application(store, TOKEN, PORT), base_url=f"http://127.0.0.1:{PORT}")
    client.get(f"/?token={TOKEN}")
    return client


def listed(page: TestClient, **filters: object) -> list[int]:
    """The numbers in the questions of a list."""
    answer = page.get("/questions", params={"job": "many/cot", **{name: str(value) for name, value in filters.items()}})
    assert answer.status_code == 200
    return [int(part.split()[2]) for part in Elements(answer.text).parts if part.startswith("What is")]


def test_the_jobs_show_their_progress_yield_and_cost(page: TestClient) -> None:
    shown = Elements(page.get("/").text)
    names = [
        attrs["href"] for tag, attrs in shown.elements if tag == "a" and str(attrs["href"]).startswith("/questions")
    ]
    assert names[0] == "/questions?job=many%2Fcot"
    assert len(names) == 10
    row = " ".join(shown.text[shown.text.index("many/cot") :].split())
    assert row.startswith("many/cot done teacher cot 60 of 60 61 60 98 % 40 66 %")
    assert any(attrs.get("http-equiv") == "refresh" for tag, attrs in shown.elements if tag == "meta")


def test_the_questions_of_a_job_come_in_pages_of_fifty(page: TestClient) -> None:
    assert listed(page) == listed(page, after=-5) == list(range(FIRST, FIRST + 50))
    assert listed(page, after=FIRST + 49) == list(range(FIRST + 50, LAST + 1))


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({"verdict": "wrong"}, [FIRST]),
        ({"verdict": "wrong", "accepted": "yes"}, []),
        ({"verdict": "right", "text": "IS 1007 plus"}, [1007]),
        ({"score": "unused", "low": 1, "high": 3}, [1002, 1003, 1004]),
        ({"score": "unused", "low": 1000}, [FIRST]),
        ({"accepted": "no", "text": "So it is 100"}, [1002, 1005, 1008]),
        ({"method": "refine"}, []),
        ({"text": "100% of '; drop table traces --"}, []),
        ({"verdict": "unverified"}, []),
    ],
)
def test_a_question_passes_if_one_trace_passes_all_filters(
    page: TestClient, filters: dict[str, object], numbers: list[int]
) -> None:
    assert listed(page, **filters) == numbers


def test_a_search_of_many_questions_continues_on_the_next_page(
    page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "WINDOW", 20)
    address, pages = f"/questions?job=many%2Fcot&score=unused&low=50&high=51&after={FIRST}", []
    while address:
        shown = Elements(page.get(address).text)
        pages.append([part.split()[2] for part in shown.parts if part.startswith("What is")])
        assert ("20 questions are searched; more follow." in shown.text) is (len(pages) < 3)
        address = next((str(a["href"]) for tag, a in shown.elements if tag == "a" and a.get("rel") == "next"), "")
    assert pages == [[], [], ["1051", "1052"]]


def test_a_question_shows_its_samples_with_all_that_is_known(page: TestClient) -> None:
    answer = page.get("/question", params={"job": "many/cot", "id": FIRST})
    shown = Elements(answer.text)
    marks = [part for part in ("3 + 4 = 8", "977") if part in shown.parts]
    assert marks == ["3 + 4 = 8", "977"]
    assert {attrs["class"] for tag, attrs in shown.elements if tag == "mark"} >= {
        "false-equation ",
        "repeated-sentence ",
    }
    whole = " ".join(shown.text.split())
    for part in (
        "What is 1001 plus <i>four</i>?",
        "Gold answer: 1001",
        "Sample 2",
        "wrong",
        "not accepted",
        "first error",
        "it is too long",
        "Let me <think>.",
        "Earlier version: draft A first try.",
        "teacher: {question}",
        r"Step 2: <b>We take 977 \x1b[0m of them.",
        "rating 0.25",
        "worker gpu-7",
        "tokens_out 300,010",
        "unused 1,000",
    ):
        assert part.replace(" ", "") in whole.replace(" ", ""), part
    assert len(answer.text) < 60_000
    link = next(a["href"] for tag, a in shown.elements if tag == "a" and "/text" in (a["href"] or ""))
    assert page.get(str(link)).text.endswith(LONG)


def test_a_question_without_a_trace_shows_its_state(page: TestClient) -> None:
    shown = Elements(page.get("/question", params={"job": "teach", "id": 71}).text).text
    assert ("state failed" in shown, "No sample yet." in shown) == (True, True)


def test_the_keys_lead_to_the_next_question_of_the_view(page: TestClient) -> None:
    view = {"job": "many/cot", "score": "unused", "low": "3", "high": "9"}
    for number, to, target in (
        (1004, "next", 1005),
        (1010, "previous", 1009),
        (1001, "next", 1004),
        (2000, "previous", 1010),
    ):
        answer = page.get("/neighbour", params={**view, "id": number, "to": to}, follow_redirects=False)
        assert answer.headers["location"].endswith(f"&score=unused&low=3&high=9&id={target}")
    assert page.get("/neighbour", params={**view, "id": 1004, "to": "previous"}).status_code == 404


def test_a_round_shows_before_and_after_its_flips_and_its_examples(page: TestClient) -> None:
    assert "r1-control" in page.get("/rounds").text
    shown = Elements(page.get("/round?round=r1").text)
    whole = " ".join(shown.text.split())
    assert "exam8 16.7 [6.1, 37.9]25.0 [12.0, 44.9] +8.3 [-11.6, +26.7]p = 0.351 41" in whole
    assert ("gained exam: question 33" in whole, "lost exam: question 32" in whole) == (True, True)
    assert [tag for tag, _ in shown.elements].count("svg") == 2
    examples = Elements(page.get("/examples?round=r1").text).text
    assert [f"{n}" for n in (101, 103, 108, 112, 113) if f"text {n}" in examples] == ["101", "103", "108", "112", "113"]


@pytest.mark.parametrize(
    "address",
    [
        "/questions?job=none",
        "/question?job=teach&id=1",
        "/round?round=none",
        "/text?job=teach&id=11&sample=111",
        "/question?job=te%00ach&id=1",
        f"/question?job=teach&id={2**70}",
    ],
)
def test_what_does_not_exist_is_a_sentence(page: TestClient, address: str) -> None:
    answer = page.get(address)
    assert (answer.status_code, 'class="panel"' in answer.text) == (404, True)


def test_a_statement_that_takes_too_long_is_a_sentence(
    store: JobStore, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "STATEMENT_SECONDS", "0.001")
    slow = text("select cast(pg_sleep(5) as text) as job")
    monkeypatch.setitem(reader_queries(), "page_jobs", slow)
    answer = page.get("/")
    assert answer.status_code == 503
    assert "this took longer than" in answer.text


def reader_queries() -> dict[str, Any]:
    from db.queries import Q

    return Q


def test_the_page_cannot_write(store: JobStore) -> None:
    with store.rounds._reader.reading() as connection:
        role = connection.execute(text("select current_user, current_setting('transaction_read_only')")).one()
    assert tuple(role) == ("tracemill_reader", "on")


def test_an_unknown_job_is_named_with_those_that_exist(store: JobStore) -> None:
    with pytest.raises(UsageError, match=r"no job 'nope'\. Jobs: .*many/cot"):
        store.require("nope")
