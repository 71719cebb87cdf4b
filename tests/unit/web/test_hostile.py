"""Texts of models are shown as what they are: nothing in them runs, hides, or breaks the page."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from tests.unit.web.pages import Elements, browser, write
from web.records import MAX_SHOWN

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "attribute": "\"><a href='javascript:alert(1)' onmouseover=alert(1)>click</a>",
    "closing": "</mark></div></main></body></html><h1>mine</h1>",
    "comment": "<!-- --><![CDATA[<svg onload=alert(1)>]]><style>*{display:none}</style>",
    "mathml": "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    "template": "{{ 7 * 7 }} {% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %} {# gone #}",
    "terminal": "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J",
    "bidi": "access \u202e\u2066// only admin\u2069\u2066 level \u200bzero \u200fmarks",
    "nul": "before\x00after",
    "surrogate": "half \ud83d of a smile",
    "tags": "hidden \U000e0041\U000e0042 tags",
    "entities": "&lt;b&gt; &amp; &#60;script&#62;",
}
LONG = "A" * 1_000_000
FILE = "traces.jsonl"
#: What no page holds: characters that a browser obeys or hides.
OBEYED = "\x00\x1b\x07\x9b\u202e\u2066\u2069\u200b\u200f\U000e0041"
FORBIDDEN = {"img", "svg", "math", "style", "iframe", "object", "embed", "h4", "table"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The page over a file with a row for each text, which is in all of its fields."""
    rows = [
        {"question": f"Q {text}", "trace": f"<think>T {text}</think>A {text}", "correct": False}
        | dict.fromkeys(("gold", "answer", "proof", "dataset", "model", "finish_reason"), text)
        for text in (*HOSTILE.values(), LONG)
    ]
    with browser(write(tmp_path_factory.mktemp("hostile") / FILE, rows)) as page:
        yield page


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_is_shown_and_nothing_of_it_runs(client: TestClient, name: str) -> None:
    number = list(HOSTILE).index(name)
    query = {"job": FILE, "text": HOSTILE[name][:5], "score": HOSTILE[name]}
    addresses = (f"/question?job={FILE}&id={number}", "/questions?" + urlencode(query, errors="replace"))
    pages = [client.get(address).text for address in addresses]
    for page in pages:
        elements = Elements(page)
        tags = [tag for tag, _ in elements.elements]
        assert tags.count("script") == 1
        assert {tag for tag in tags if tag in FORBIDDEN} <= {"table"}
        attributes = [(key, value or "") for _, attrs in elements.elements for key, value in attrs.items()]
        assert [key for key, _ in attributes if key.startswith("on") or key == "style"] == []
        links = [value for key, value in attributes if key in ("href", "src", "action")]
        assert [link for link in links if not link.startswith(("/", "#"))] == []
        assert [char for char in OBEYED if char in page] == []
    visible = HOSTILE[name].encode("unicode_escape").decode() if set(HOSTILE[name]) & set(OBEYED) else HOSTILE[name]
    if name not in ("surrogate", "tags"):
        assert f"A {visible}"[:40] in Elements(pages[0]).text


def test_a_file_with_a_hostile_name_is_shown_by_its_name(tmp_path: Path) -> None:
    name = '<b onclick=x>&job=1".jsonl'
    with browser(write(tmp_path / name, [{"question": "1?", "trace": "1"}])) as client:
        page = client.get("/").text
        links = [attrs["href"] or "" for tag, attrs in Elements(page).elements if tag == "a"]
        (link,) = [link for link in links if link.startswith("/questions")]
        assert name in Elements(client.get(link).text).text
        assert "onclick" not in [key for _, attrs in Elements(page).elements for key in attrs]


def test_a_megabyte_without_a_space_is_cut_and_its_rest_is_a_link_away(client: TestClient) -> None:
    page = client.get(f"/question?job={FILE}&id={len(HOSTILE)}").text
    assert len(page) < 6 * MAX_SHOWN
    link = next(a["href"] for tag, a in Elements(page).elements if tag == "a" and "/text" in (a["href"] or ""))
    whole = client.get(str(link))
    assert (whole.text, whole.headers["content-type"]) == (
        f"<think>T {LONG}</think>A {LONG}",
        "text/plain; charset=utf-8",
    )
    assert len(client.get(f"/questions?job={FILE}").text) < 2 * MAX_SHOWN


def test_the_whole_text_shows_control_characters_as_what_they_are(client: TestClient) -> None:
    number = list(HOSTILE).index("terminal")
    whole = client.get(f"/text?job={FILE}&id={number}&sample=0").text
    assert whole.endswith(r"A \x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J")


def test_lines_that_are_no_objects_are_counted_and_left_out(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    file.write_bytes(b'\xff\xfe\n[1]\n{"question": "1?", "trace": "1"}\n\n{"a\n{"question": "2?", "trace": "2"}\n')
    with browser(file) as client:
        text = Elements(client.get("/questions?job=traces.jsonl").text).text
        assert "3 lines without a JSON object are left out" in text
        assert "2?" in Elements(client.get("/question?job=traces.jsonl&id=1").text).text
