"""A key goes only to the servers that its user has allowed."""

from pathlib import Path

import pytest

from tracemill.engines.api_key import api_key
from tracemill.engines.vllm_options import require_trusted
from tracemill.errors import UsageError
from tracemill.model_settings import ModelSettings


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Three secrets, and a settings file that was in the folder."""
    for name in ("OPENAI_API_KEY", "MY_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, f"secret of {name}".replace(" ", "-"))
    monkeypatch.delenv("TRACEMILL_CONFIG")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tracemill.toml").touch()


def key(base_url: str, name: str | None = None) -> str:
    named = {} if name is None else {"api_key_env": name}
    return api_key(ModelSettings(engine="openai", model="m", openai={"base_url": base_url, **named}))  # type: ignore[arg-type]


def test_the_default_key_goes_to_openai_alone() -> None:
    assert key("https://api.openai.com/v1") == "secret-of-OPENAI_API_KEY"
    for other in ("https://evil.example/v1", "https://api.openai.com.evil.example/v1", "http://127.0.0.1:1/v1"):
        assert key(other) == ""


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"])
@pytest.mark.parametrize("server", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example"])
def test_a_file_of_the_folder_sends_no_key_that_its_user_did_not_allow(name: str, server: str) -> None:
    with pytest.raises(UsageError, match=f"sends the key in {name} to {server}.*export TRACEMILL_KEYS={name}@{server}"):
        key(f"https://{server}/v1", name)


def test_an_allowed_key_goes_to_its_server_and_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_KEYS", "OTHER@gpu-box, MY_KEY@gpu-box")
    assert key("https://gpu-box:8000/v1", "MY_KEY") == "secret-of-MY_KEY"
    for server, name in (("evil.example", "MY_KEY"), ("gpu-box", "AWS_SECRET_ACCESS_KEY")):
        with pytest.raises(UsageError, match="sends the key"):
            key(f"https://{server}/v1", name)


def test_a_file_that_the_user_names_chooses_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACEMILL_CONFIG", str(tmp_path / "tracemill.toml"))
    assert key("https://gpu-box:8000/v1", "MY_KEY") == "secret-of-MY_KEY"


def test_no_key_goes_over_plain_http_to_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACEMILL_CONFIG", str(tmp_path / "tracemill.toml"))
    monkeypatch.setenv("TRACEMILL_KEYS", "MY_KEY@gpu-box")
    with pytest.raises(UsageError, match=r"to gpu-box over plain http.*TRACEMILL_KEYS=MY_KEY@http://gpu-box"):
        key("http://gpu-box:8000/v1", "MY_KEY")
    monkeypatch.setenv("TRACEMILL_KEYS", "MY_KEY@http://gpu-box")
    assert key("http://gpu-box:8000/v1", "MY_KEY") == "secret-of-MY_KEY"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_named_key_goes_to_a_server_of_this_machine(host: str) -> None:
    assert key(f"http://{host}:8000/v1", "MY_KEY") == "secret-of-MY_KEY"


def test_a_file_of_the_folder_lets_no_code_of_a_model_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = ModelSettings(model="evil/model", vllm={"options": {"trust_remote_code": True}})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"trust_remote_code, which runs code of evil/model.*--config tracemill\.toml"):
        require_trusted(model)
    monkeypatch.setenv("TRACEMILL_CONFIG", str(tmp_path / "tracemill.toml"))
    require_trusted(model)
