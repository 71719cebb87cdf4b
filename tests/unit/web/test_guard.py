"""Only the browser that opened the address with the token reads the page, and no page may run foreign code."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.unit.web.pages import PORT, TOKEN, browser, write
from web.guard import HEADERS, POLICY


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    file = write(tmp_path_factory.mktemp("guard") / "traces.jsonl", [{"question": "1 + 1?", "trace": "2"}])
    with browser(file, admitted=False) as stranger:
        yield stranger


@pytest.fixture
def stranger(client: TestClient) -> TestClient:
    client.cookies.clear()
    return client


PAGES = ("/", "/questions?job=traces.jsonl", "/question?job=traces.jsonl&id=0", "/text?job=traces.jsonl&id=0&sample=0")
STATIC = ("/static/page.css", "/static/page.js")


@pytest.mark.parametrize("address", [*PAGES, *STATIC, "/nothing", "/?token=", "/?token=wrong", f"/?token={TOKEN}x"])
def test_without_the_token_nothing_is_shown(stranger: TestClient, address: str) -> None:
    answer = stranger.get(address, follow_redirects=False)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert "1 + 1" not in answer.text


def test_the_token_becomes_a_cookie_that_no_script_and_no_other_site_has(stranger: TestClient) -> None:
    answer = stranger.get(f"/questions?job=traces.jsonl&token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/questions?job=traces.jsonl")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"tracemill_{PORT}={TOKEN};")
    assert {"HttpOnly", "SameSite=strict"} <= set(cookie.split("; "))
    assert "1 + 1?" in stranger.get("/questions?job=traces.jsonl").text


def test_the_token_never_leads_to_another_site(stranger: TestClient) -> None:
    for path in ("//evil.example/", "/\\evil.example/", "///evil.example"):
        address = f"http://127.0.0.1:{PORT}{path}?token={TOKEN}"
        location = stranger.get(address, follow_redirects=False).headers["location"]
        assert location.startswith("/")
        assert location[1:2] not in ("/", "\\")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_a_request_that_may_write_is_refused(stranger: TestClient, method: str) -> None:
    stranger.get(f"/?token={TOKEN}")
    answer = stranger.request(method, "/questions?job=traces.jsonl")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1.evil.example:80", ""])
def test_a_foreign_name_of_this_machine_is_refused(stranger: TestClient, host: str) -> None:
    stranger.get(f"/?token={TOKEN}")
    assert stranger.get("/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("admitted", [True, False])
@pytest.mark.parametrize(
    "address", [*PAGES, *STATIC, "/nothing", "/question?job=traces.jsonl&id=9", "/questions?job=x"]
)
def test_every_answer_forbids_scripts_frames_and_caches(stranger: TestClient, address: str, admitted: bool) -> None:
    if admitted:
        stranger.get(f"/?token={TOKEN}")
    headers = stranger.get(address).headers
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'; ")
