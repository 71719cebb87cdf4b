"""HTTP statuses of a server: repeated requests, and the kind of error."""

import pytest

from tests.scripted_server import ANSWER, Fault
from tests.unit.tracemill.engines.conftest import KEY, Start, texts
from tracemill.engines import rate_limit
from tracemill.errors import AliasRefused, EngineAway, EngineError, RequestRefused


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "FIRST_HOLD", 0.001)


@pytest.mark.parametrize(
    ("status", "reason", "cause"),
    [
        (401, "Unauthorized", "the key in TEACHER_KEY is refused"),
        (403, "Forbidden", "the key in TEACHER_KEY is refused"),
        (404, "Not Found", "wrong base_url or model"),
    ],
)
def test_a_wrong_key_address_or_model_refuses_the_alias_at_the_first_request(
    start: Start, status: int, reason: str, cause: str
) -> None:
    server, engine = start(faults=[(status, {"Retry-After": "60"})])
    with pytest.raises(AliasRefused) as caught:
        texts(engine)
    assert str(caught.value).startswith(f"{cause}: {server.base_url} answered {status} {reason}: ")
    assert "not like this" in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 405, 407, 413, 422, 499])
def test_a_refusal_concerns_one_request_and_is_not_repeated(start: Start, status: int) -> None:
    server, engine = start(faults=[(status, {})])
    with pytest.raises(RequestRefused, match=f"{server.base_url} answered {status}.*not like this"):
        texts(engine)
    assert len(server.requests) == 1
    assert texts(engine) == [ANSWER]


@pytest.mark.parametrize(
    ("status", "kind", "needs_probe"),
    [
        (408, EngineError, True),
        (409, EngineAway, False),
        (429, EngineAway, False),
        (500, EngineAway, True),
        (502, EngineAway, True),
        (503, EngineAway, False),
        (529, EngineAway, False),
        (599, EngineAway, True),
    ],
)
def test_a_failing_server_gets_five_attempts(
    start: Start, status: int, kind: type[EngineError], needs_probe: bool
) -> None:
    server, engine = start(faults=[(status, {})] * 5)
    with pytest.raises(kind, match=rf"{server.base_url} answered {status}.*not like this.* \(5 attempts\)$") as caught:
        texts(engine)
    assert (type(caught.value), caught.value.needs_probe) == (kind, needs_probe)
    assert len(server.requests) == 5
    assert texts(engine) == [ANSWER]


def test_a_spent_balance_pauses_the_alias_after_one_request(start: Start) -> None:
    server, engine = start(faults=[(402, {})])
    with pytest.raises(EngineAway, match=f"{server.base_url} answered 402 Payment Required"):
        texts(engine)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_refuses_the_alias(start: Start, status: int) -> None:
    other_server, _ = start()
    target = f"{other_server.base_url}/chat/completions"
    server, engine = start(faults=[(status, {"Location": target})])
    with pytest.raises(AliasRefused) as caught:
        texts(engine)
    assert f"Redirects are not followed: {target}" in str(caught.value)
    assert len(server.requests) == 1
    assert not other_server.requests  # no other server gets the key


def test_a_redirect_that_names_the_key_does_not_show_it(start: Start) -> None:
    _, engine = start(faults=[(302, {"Location": f"http://127.0.0.1:9/?key={KEY}"})])
    with pytest.raises(AliasRefused, match=r"key=\*\*\*") as caught:
        texts(engine)
    assert KEY not in str(caught.value)


def test_a_retry_after_is_obeyed_with_any_status(start: Start) -> None:
    server, engine = start(faults=[(503, {"Retry-After": "0.5"}), Fault.BROKEN])
    assert texts(engine) == [ANSWER]
    assert len(server.requests) == 3
