"""The vLLM engine that the tests of this folder share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tracemill.engines.vllm import VllmEngine
from tracemill.event_loop import run
from tracemill.model_settings import EMBEDDED_MODEL, ModelSettings

OPTIONS = {"max_model_len": 512, "kv_cache_gib": 0.5, "adapters": True}
SMALL = ModelSettings(engine="vllm", model=EMBEDDED_MODEL, vllm=OPTIONS)


@pytest.fixture(scope="session")
def engine(models: Path) -> Iterator[VllmEngine]:
    """One engine with the embedded model. The last test of `test_vllm.py` closes it."""
    engine = VllmEngine(SMALL, models)
    yield engine
    run(engine.close())
