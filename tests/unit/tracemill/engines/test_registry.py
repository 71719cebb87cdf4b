"""The engines of one process: which aliases share one."""

from pathlib import Path

import pytest

from tests.conftest import forget
from tracemill.engines.registry import close_engines, engine

ALIASES = """
[models.teacher]
engine = "openai"
openai.base_url = "http://127.0.0.1:9/v1"
price_in = 0.15
price_out = 0.6
[models.student]
engine = "openai"
openai.base_url = "http://127.0.0.1:9/v1"
vllm.max_model_len = 512
[models.verifier]
engine = "openai"
openai.base_url = "http://127.0.0.1:9/v1"
openai.requests_per_minute = 60
"""


def test_aliases_share_an_engine_unless_they_differ_in_what_concerns_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "tracemill.toml"
    config.write_text(ALIASES)
    monkeypatch.setenv("TRACEMILL_CONFIG", str(config))
    forget()
    try:
        assert engine("teacher") is engine("student")
        assert engine("teacher") is not engine("verifier")
    finally:
        close_engines()
        monkeypatch.undo()
        forget()
