"""The vLLM engine that the tests of this folder share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracemill.engines.vllm import VllmEngine
from tracemill.event_loop import run
from tracemill.model_settings import EMBEDDED_MODEL, ModelSettings

OPTIONS = {"max_model_len": 512, "kv_cache_gib": 0.5, "adapters": True}
SMALL = ModelSettings(engine="vllm", model=EMBEDDED_MODEL, vllm=OPTIONS)


@pytest.fixture(scope="session")
def engine(models: Path) -> Iterator[VllmEngine]:
    """One engine with the embedded model. The last test of `test_vllm.py` closes it.

    vLLM chooses how to start its processes as on CUDA; on CPU it would always spawn them.
    """
    from vllm.platforms.cpu import CpuPlatform

    update, method = CpuPlatform.check_and_update_config, "VLLM_WORKER_MULTIPROC_METHOD"

    def as_on_cuda(config: Any) -> None:
        before = os.environ.get(method)
        update(config)
        del os.environ[method]
        os.environ.update({method: before} if before else {})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CpuPlatform, "check_and_update_config", staticmethod(as_on_cuda))
        engine = VllmEngine(SMALL, models)
    yield engine
    run(engine.close())
