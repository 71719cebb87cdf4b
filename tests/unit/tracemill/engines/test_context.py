"""The longest prompt and answer of a model, known before its engine starts."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.installed import tracemill
from tests.scripted_server import ScriptedServer
from tracemill.engines.context import Context, context_of
from tracemill.model_settings import ModelSettings

CONFIGURED = "max_model_len in [models.teacher.vllm]"


def context(**settings: Any) -> Context | None:
    return context_of("teacher", ModelSettings.model_validate(settings))


def remote(base_url: str, model: str = "scripted") -> Context | None:
    return context(engine="openai", model=model, openai={"base_url": base_url})


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"max_position_embeddings": 1024}, Context(1024, None)),
        ({"text_config": {"max_position_embeddings": 512}}, Context(512, None)),
        ({"n_positions": 1024, "rope_parameters": {"rope_type": "default"}}, Context(1024, None)),
        ({"max_position_embeddings": 8192}, Context(2048, CONFIGURED)),
        ({"max_position_embeddings": 1024, "rope_scaling": {"factor": 4.0}}, Context(2048, CONFIGURED)),
        ({"max_position_embeddings": "long"}, Context(2048, CONFIGURED)),
        ([], Context(2048, CONFIGURED)),
    ],
)
def test_the_smaller_limit_of_settings_and_model_folder_counts(tmp_path: Path, config: Any, limit: Context) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert context(model=str(tmp_path)) == limit


def test_a_model_of_the_hub_is_read_from_the_cache_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 1024}')
    cached = {("owner/short", "config.json"): str(tmp_path / "config.json")}
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *key: cached.get(key))
    assert context(model="owner/short") == Context(1024, None)
    assert context(model="owner/unknown") == Context(2048, CONFIGURED)


def test_a_server_tells_the_context_of_its_model() -> None:
    with ScriptedServer(max_model_len=4096) as server:
        assert remote(server.base_url) == Context(4096, None)
        assert remote(server.base_url, model="another") is None
    with ScriptedServer() as server:
        assert remote(server.base_url) is None
    assert remote("http://127.0.0.1:1/v1") is None


def test_enqueue_refuses_answers_that_are_too_long_for_a_server(tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}\n')
    with ScriptedServer(max_model_len=4096) as server:
        model = f'[models.teacher]\nengine = "openai"\nmodel = "scripted"\nopenai.base_url = "{server.base_url}"\n'
        (tmp_path / "tracemill.toml").write_text(model)
        ended = tracemill(tmp_path, "enqueue", "sums.jsonl", "--max-tokens", "4097")
    assert (ended.returncode, ended.stderr) == (
        2,
        "error: job sums-teacher-cot: max_tokens = 4097 (--max-tokens) is more than the 4096 tokens that model teacher "
        "has for prompt and answer. Lower it\n",
    )
