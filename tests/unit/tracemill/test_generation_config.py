"""The sampling of a job: what its request, its model alias and the model's own generation_config say, in this order."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tracemill.generation_config import job_sampling, own_sampling
from tracemill.model_settings import ModelSettings
from tracemill.sampling import Sampling, SamplingSettings

#: As Qwen's and DeepSeek's models have it.
THINKER = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "eos_token_id": [1, 2]}
NOTHING = SamplingSettings()


class _Hub:
    """A hub that is away, or gives a text."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.text = ""

    def get(self, url: str, **_: object) -> Any:
        self.urls.append(url)
        if not self.text:
            raise OSError("no route to the hub")
        return SimpleNamespace(text=self.text, raise_for_status=lambda: None)


def _model(folder: Path, content: object = None, **settings: Any) -> ModelSettings:
    if content is not None:
        (folder / "generation_config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return ModelSettings(model=str(folder), **settings)


def test_a_job_samples_as_the_models_own_card_says(tmp_path: Path) -> None:
    model = _model(tmp_path, THINKER)
    own = own_sampling(model, tmp_path)
    for purpose in ("teach", "evaluate"):
        sampling = job_sampling(NOTHING, model, own, purpose)  # type: ignore[arg-type]
        assert sampling == Sampling(0.6, 0.95, None, top_k=20), purpose


def test_the_request_goes_before_the_alias_and_the_alias_before_the_card(tmp_path: Path) -> None:
    alias = {"temperature": 0.8, "top_k": 40, "chat_template_kwargs": {"enable_thinking": False, "effort": "low"}}
    model = _model(tmp_path, THINKER, sampling=alias)
    written = SamplingSettings(top_k=50, stop=["END"], chat_template_kwargs={"enable_thinking": True})
    assert job_sampling(written, model, own_sampling(model, tmp_path)) == Sampling(
        0.8, 0.95, None, ("END",), top_k=50, chat_template_kwargs={"enable_thinking": True, "effort": "low"}
    )


def test_greedy_can_be_requested_from_a_model_that_samples(tmp_path: Path) -> None:
    model = _model(tmp_path, THINKER)
    assert job_sampling(SamplingSettings(temperature=0), model, own_sampling(model, tmp_path)).temperature == 0


@pytest.mark.parametrize(
    ("purpose", "samples", "temperature"), [("teach", 1, 0.7), ("evaluate", 1, 0.0), ("evaluate", 4, 0.7)]
)
@pytest.mark.parametrize("content", [None, {"eos_token_id": 2}, "no json", "[1]", {"temperature": "hot"}])
def test_a_model_without_a_card_teaches_at_0_7_and_is_evaluated_greedily(
    purpose: Any, samples: int, temperature: float, content: object, tmp_path: Path
) -> None:
    model = _model(tmp_path, content)
    sampling = job_sampling(NOTHING, model, own_sampling(model, tmp_path), purpose, samples)
    assert sampling == Sampling(temperature, 1.0, None)


def test_a_card_without_sampling_is_greedy(tmp_path: Path) -> None:
    model = _model(tmp_path, {"do_sample": False, "temperature": 0.6, "top_k": 50, "repetition_penalty": 1.1})
    assert job_sampling(NOTHING, model, own_sampling(model, tmp_path)) == Sampling(0, 1.0, None, repetition_penalty=1.1)


def test_a_server_uses_its_own_values_unless_they_are_set() -> None:
    model = ModelSettings(engine="openai", model="gpt", sampling={"extra_body": {"reasoning_effort": "high"}})
    own = own_sampling(model, Path())
    assert job_sampling(NOTHING, model, own) == Sampling(None, None, None, extra_body={"reasoning_effort": "high"})


def test_a_hub_that_is_away_leaves_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = _Hub()
    monkeypatch.setattr("huggingface_hub.utils.get_session", lambda: hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    model = ModelSettings(model="Qwen/Qwen3-4B")
    assert own_sampling(model, tmp_path) == NOTHING
    assert hub.urls == []
    assert own_sampling(model, tmp_path, ask_hub=True) == NOTHING
    assert hub.urls == ["https://huggingface.co/Qwen/Qwen3-4B/resolve/main/generation_config.json"]
    hub.text = json.dumps(THINKER)
    assert own_sampling(model, tmp_path, ask_hub=True) == SamplingSettings(temperature=0.6, top_p=0.95, top_k=20)


def test_stored_sampling_keeps_every_key_and_older_jobs_stay_readable() -> None:
    sampling = Sampling(
        None, None, None, ("END",), 5, top_k=0, min_p=0.0, thinking_tokens=0, chat_template_kwargs={"a": 1}
    )
    assert Sampling.from_json(json.loads(json.dumps(sampling.as_json()))) == sampling
    older = {"temperature": 0.7, "top_p": 1.0, "max_tokens": 512, "stop": []}
    assert Sampling.from_json(older).as_json() == older
