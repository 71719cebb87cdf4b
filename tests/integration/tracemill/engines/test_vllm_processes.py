"""The processes of a vLLM engine end with the process that started it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import ROOT
from tests.tiny import byte_model
from tracemill.processes import is_alive

pytestmark = pytest.mark.integration

#: A process with an engine. vLLM always spawns on CPU; here it decides as on CUDA.
OWNER = """
import multiprocessing, os, sys, threading, time
from pathlib import Path
from vllm.platforms.cpu import CpuPlatform
from tracemill.engines.vllm import VllmEngine
from tracemill.model_settings import ModelSettings

METHOD = "VLLM_WORKER_MULTIPROC_METHOD"
update = CpuPlatform.check_and_update_config

def as_on_cuda(config):
    method = os.environ.get(METHOD)
    update(config)
    del os.environ[METHOD]
    os.environ.update({METHOD: method} if method else {})

def report():
    while not (children := multiprocessing.active_children()):
        time.sleep(0.1)
    print("\\nchildren:", *(type(child).__name__ for child in children), flush=True)

if __name__ == "__main__":
    CpuPlatform.check_and_update_config = staticmethod(as_on_cuda)
    threading.Thread(target=report, daemon=True).start()
    options = {"max_model_len": 64, "kv_cache_gib": 0.01, "adapters": True}
    engine = VllmEngine(ModelSettings(model=sys.argv[1], vllm=options), Path())
    print("the engine is up", flush=True)
    time.sleep(600)
"""


def test_an_engine_is_spawned_and_ends_with_a_killed_owner(tmp_path: Path) -> None:
    model = byte_model(tmp_path / "model", width=128)
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    with subprocess.Popen(
        [sys.executable, str(script), model], cwd=ROOT, env=_importing(ROOT), stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        children = next(line for line in owner.stdout if line.startswith("children:")).split()[1:]
        if children != ["SpawnProcess"]:
            owner.kill()
        # The engine's processes write to the same pipe, at times into the middle of a line.
        assert any("the engine is up" in line for line in owner.stdout), children
        processes = psutil.Process(owner.pid).children(recursive=True)
        names = [" ".join(process.cmdline()) for process in processes]
        owner.kill()
    assert any("VLLM::" in name for name in names), names
    deadline = time.monotonic() + 10
    while left := [process for process in processes if is_alive(process)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def _importing(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}
