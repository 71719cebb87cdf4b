"""The page over files: questions of any tool's rows, their filters in the address, and the samples of a question."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from starlette.testclient import TestClient

from tests.integration.factory import wait_until
from tests.unit.web.pages import Elements, browser, write
from tracemill.errors import UsageError
from web import file_index
from web.files import FileStore

N = 120


def rows() -> Iterator[dict[str, Any]]:
    """Two samples of each of N questions: the first is right, the second has a false equation and a loose number."""
    for n in range(N):
        question = {
            "question": f"What is {n} + 4? Tom asks.",
            "gold": str(n + 4),
            "method": "cot" if n % 2 else "refine",
        }
        yield question | {"trace": f"{n} + 4 = {n + 4}. The answer is {n + 4}.", "correct": True, "unused": n}
        wrong = f"Step 1: We have {n} + 4 = {n + 5}.\nStep 2: Also 977 counts here.\nStep 3: Also 977 counts here."
        yield question | {"trace": f"{wrong}\nThe answer is {n + 5}.", "correct": n > 100 or False, "unused": n}


class Site(NamedTuple):
    """The page over one file."""

    client: TestClient
    file: str

    def get(self, path: str, **parameters: object) -> httpx.Response:
        query = {"job": self.file, **{name: str(value) for name, value in parameters.items()}}
        return self.client.get(path, params=query, follow_redirects=False)


@pytest.fixture(scope="module", params=["traces.jsonl", "traces.parquet"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with browser(write(tmp_path_factory.mktemp("files") / request.param, list(rows()))) as page:
        yield Site(page, request.param)


def listed(site: Site, **filters: str) -> list[str]:
    """The questions of a page."""
    page = site.get("/questions", **filters).text
    return [part for part in Elements(page).parts if part.startswith("What is")]


def test_the_rows_of_a_question_are_one_question_with_their_verdicts(site: Site) -> None:
    page = Elements(site.get("/questions").text)
    assert len(listed(site)) == 50
    row = page.text[page.text.index("What is 0 + 4") :].split()
    assert row[7:11] == ["2", "1", "1", "–"]


def test_a_page_continues_where_the_last_one_ended(site: Site) -> None:
    pages, address = [], f"/questions?job={site.file}"
    while address:
        page = Elements(site.client.get(address).text)
        pages.append([part for part in page.parts if part.startswith("What is")])
        address = next((str(a["href"]) for tag, a in page.elements if tag == "a" and a.get("rel") == "next"), "")
    assert [len(page) for page in pages] == [50, 50, 20]
    assert [question for page in pages for question in page] == [f"What is {n} + 4? Tom asks." for n in range(N)]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({"text": "What is 11"}, [11, *range(110, 120)]),
        ({"text": "IS 119 +"}, [119]),
        ({"verdict": "wrong", "low": "99", "score": "unused"}, [99, 100]),
        ({"method": "cot", "score": "unused", "low": "3", "high": "8"}, [3, 5, 7]),
        ({"accepted": "yes"}, []),
        ({"verdict": "no such verdict", "score": "no such score", "text": "is 7 +"}, [7]),
    ],
)
def test_a_question_passes_if_one_trace_passes_all_filters(
    site: Site, filters: dict[str, str], numbers: list[int]
) -> None:
    assert listed(site, **filters) == [f"What is {n} + 4? Tom asks." for n in numbers]


def test_the_next_question_is_the_next_of_the_filtered_view(site: Site) -> None:
    view = {"method": "cot", "verdict": "wrong"}
    forwards = site.get("/neighbour", **view, id=7, to="next")
    assert forwards.headers["location"].endswith("&verdict=wrong&method=cot&id=9")
    backwards = site.get("/neighbour", **view, id=7, to="previous")
    assert backwards.headers["location"].endswith("&id=5")
    assert site.get("/neighbour", **view, id=99).status_code == 404


def test_findings_are_marked_where_they_stand(site: Site) -> None:
    page = Elements(site.get("/question", id=3).text)
    marks = [attrs["class"] for tag, attrs in page.elements if tag == "mark" and attrs["class"]]
    assert {mark.strip() for mark in marks} >= {"false-equation", "ungrounded-number", "repeated-sentence", "answer"}
    assert page.parts[page.parts.index("3 + 4 = 8") - 1].strip() == "Step 1: We have"
    assert "first error" in page.text
    titles = [attrs["title"] for tag, attrs in page.elements if tag == "dt"]
    assert "Equations that are false even after rounding to the digits shown. Unit: count." in titles


def test_the_keys_have_what_they_lead_to(site: Site) -> None:
    page = Elements(site.get("/question", id=3, method="cot").text).elements
    links = {str(attrs.get("rel")): str(attrs["href"]) for tag, attrs in page if tag == "a"}
    assert links["next"] == f"/neighbour?job={site.file}&method=cot&id=3&to=next"
    assert links["prev"] == f"/neighbour?job={site.file}&method=cot&id=3&to=previous"
    assert links["search"] == f"/questions?job={site.file}&method=cot#search"
    assert sum(attrs.get("class") == "sample" and "tabindex" in attrs for _, attrs in page) == 2
    fields = Elements(site.get("/questions", method="cot", text="<5>").text).elements
    assert {attrs.get("id"): attrs.get("value") for _, attrs in fields}["search"] == "<5>"


def test_rows_of_other_tools_are_read(tmp_path: Path) -> None:
    others: list[dict[str, Any]] = [
        {"problem": "Two?", "generations": ["It is 2.", "It is 3."]},
        {"messages": [{"role": "user", "content": "Five?"}, {"role": "assistant", "content": "It is 5."}]},
        {"id": 4, "response": "Nobody asked."},
        {"note": "no trace at all"},
    ]
    with browser(write(tmp_path / "others.jsonl", others)) as page:
        texts = [Elements(page.get(f"/question?job=others.jsonl&id={n}").text).text for n in range(4)]
    assert ["It is 2." in texts[0], "It is 3." in texts[0], "Two?" in texts[0]] == [True] * 3
    assert ("Five?" in texts[1], "It is 5." in texts[1]) == (True, True)
    assert "Nobody asked." in texts[2]
    assert "No sample yet." in texts[3]


def test_a_question_with_many_samples_has_several_pages(tmp_path: Path) -> None:
    many = [{"question": "Same?", "trace": f"Sample {n} here."} for n in range(20)]
    with browser(write(tmp_path / "many.jsonl", many)) as page:
        first = Elements(page.get("/question?job=many.jsonl&id=0").text).text
        second = Elements(page.get("/question?job=many.jsonl&id=0&start=16").text).text
    assert ("Sample 15 here." in first, "Sample 16 here." in first) == (True, False)
    assert ("Sample 15 here." in second, "Sample 16 here." in second, "Sample 19 here." in second) == (
        False,
        True,
        True,
    )


def test_a_file_is_shown_while_it_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_continue = threading.Event()

    def slow_rows(path: Path, skip: object) -> Iterator[file_index.Row]:
        yield file_index.Row(0, "First?", None, None)
        may_continue.wait(60)

    monkeypatch.setattr(file_index, "_text_rows", slow_rows)
    monkeypatch.setattr(file_index, "FIRST_WAIT", 0.0)
    with browser(write(tmp_path / "slow.jsonl", [{"question": "First?", "trace": "1"}])) as page:
        wait_until(lambda: "First?" in page.get("/questions?job=slow.jsonl").text)
        assert "The file is still being read: 1 rows so far." in page.get("/questions?job=slow.jsonl").text
        may_continue.set()
        wait_until(lambda: "still being read" not in page.get("/questions?job=slow.jsonl").text)


def test_a_damaged_file_is_shown_up_to_its_damage(tmp_path: Path) -> None:
    file = write(tmp_path / "damaged.parquet", [{"question": f"Q{n} {'x' * 99}?", "trace": f"{n}"} for n in range(70)])
    content = bytearray(file.read_bytes())
    start = len(content) // 8
    content[start : start + 200] = bytes(200)
    file.write_bytes(content)
    with browser(file) as page:
        assert "The file cannot be read after row" in page.get("/questions?job=damaged.parquet").text


def test_a_folder_lists_its_files_and_opens_each(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"question": "A?", "trace": "1"}])
    write(tmp_path / "b.parquet", [{"question": "B?", "trace": "1"}])
    (tmp_path / "notes.txt").write_text("no traces")
    with browser(tmp_path) as page:
        listing = Elements(page.get("/").text).text
        assert ("a.jsonl" in listing, "b.parquet" in listing, "notes.txt" in listing) == (True, True, False)
        assert "B?" in page.get("/questions?job=b.parquet").text
        assert page.get("/questions?job=../a.jsonl").status_code == 404


@pytest.mark.parametrize("name", ["traces.jsonl.gz", "traces.csv", "empty-folder", "broken.parquet"])
def test_what_cannot_be_read_is_an_error_of_use(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.mkdir() if name == "empty-folder" else path.write_bytes(b"x")
    with pytest.raises(UsageError, match=name):
        FileStore(path)


@pytest.mark.parametrize(
    ("path", "parameters"), [("/questions", {"after": "-7"}), ("/question", {"id": "0", "start": "-3"})]
)
def test_a_number_out_of_range_is_left_out(site: Site, path: str, parameters: dict[str, str]) -> None:
    assert site.get(path, **parameters).text == site.get(path, **(parameters | {"after": "", "start": ""})).text


@pytest.mark.parametrize("address", ["/question?id=500", "/question?id=x", "/text?id=0&sample=7", "/question?id=-1"])
def test_what_does_not_exist_is_a_sentence(site: Site, address: str) -> None:
    path, _, query = address.partition("?")
    parameters = dict(pair.split("=") for pair in query.split("&"))
    answer = site.get(path, **parameters)
    assert answer.status_code == 404
    assert "has no" in answer.text
