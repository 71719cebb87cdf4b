"""Checks of `tracemill doctor`: the interpreter, the libraries, the GPUs, the sandbox and the disk.

No large library is imported here: versions and builds are read from installed files.
"""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from cli.findings import Finding, lacking
from cli.preflight import missing_programs
from tracemill.cards import Card, cards, driver_cuda, vllm_build
from tracemill.memory import GIB, gib
from tracemill.settings import Settings
from tracemill.stack.state import MIN_FREE_BYTES
from tracemill.verification.code.sandbox import Sandbox

#: Free disk below which a model and some adapters may not fit.
LITTLE_DISK = 10 * GIB
#: Longest wait for torch to count the cards, in seconds. Its import alone can take ten.
TORCH_SECONDS = 40.0
#: Part of a card that others may use without a warning.
USED = 0.1

GPU_EXTRA = "in a new environment: pip install 'tracemill[gpu,stack,sources,verify,train]'"
CPU_EXTRA = "pip install 'tracemill[cpu]'"


def machine(settings: Settings, *, needs_vllm: bool, stack_runs: bool) -> Iterator[Finding]:
    """The findings about this machine."""
    visible = cards()
    yield Finding("Python", "ok", f"{platform.python_version()} on {platform.machine()}")
    yield _torch(needs_vllm or settings.local.train)
    yield _cuda(visible, is_needed=needs_vllm)
    yield from (_card(card, stack_runs) for card in visible)
    yield _vllm(visible, needs_vllm)
    yield _bitsandbytes(settings.local.train)
    yield from missing_programs_findings(settings)
    yield _sandbox()
    yield _disk("disk", settings.data_dir.absolute())
    yield from _hub_disk(settings.data_dir.absolute())


def torch_build() -> tuple[str, tuple[int, int] | None] | None:
    """The version of the installed torch, and the CUDA version it was built for; None without torch."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    version = re.search(r"^__version__\b.*= '([^']+)'", text, re.MULTILINE)
    cuda = re.search(r"^cuda\b.*= '(\d+)\.(\d+)'", text, re.MULTILINE)
    return version[1] if version else "unknown", (int(cuda[1]), int(cuda[2])) if cuda else None


def _torch(is_needed: bool) -> Finding:
    build = torch_build()
    if build is None:
        advice = f"{GPU_EXTRA}; on a machine without a GPU: {CPU_EXTRA}"
        return _absent("torch", advice, is_needed)
    version, cuda = build
    return Finding("torch", "ok", f"{version}, built for {f'CUDA {cuda[0]}.{cuda[1]}' if cuda else 'the CPU'}")


def _absent(check: str, advice: str, is_needed: bool) -> Finding:
    if is_needed:
        return Finding(check, "broken", "not installed", advice)
    return Finding(check, "ok", "not installed, and these settings do not need it")


def _cuda(visible: list[Card], *, is_needed: bool) -> Finding:
    """Whether driver, cards and torch fit each other."""
    build, driver = torch_build(), driver_cuda()
    built_for = build[1] if build else None
    if not visible:
        if built_for is None:
            return Finding("CUDA", "ok", "no GPU: models run on the CPU")
        advice = (
            "install the NVIDIA driver; in a container, start it with GPUs; look at CUDA_VISIBLE_DEVICES. Without a "
            "GPU: install tracemill[cpu] in a new environment"
        )
        return lacking("CUDA", "torch is built for CUDA, but this machine shows no GPU", advice, is_needed=is_needed)
    if driver is None:
        advice = "install the NVIDIA driver with nvidia-smi, or correct CUDA_VISIBLE_DEVICES"
        has_cuda = is_needed and built_for is not None
        return lacking("CUDA", "nvidia-smi does not answer", advice, is_needed=has_cuda)
    shown = f"the driver runs CUDA up to {driver[0]}.{driver[1]}"
    if build is None:
        return Finding("CUDA", "ok", shown)
    if built_for is None:
        return Finding("CUDA", "warning", f"{shown}, but torch is a CPU build: the GPU is idle", GPU_EXTRA)
    if driver[0] < built_for[0]:
        advice = f"update the driver to one with CUDA {built_for[0]}.{built_for[1]}"
        return lacking("CUDA", f"{shown}, torch needs {built_for[0]}.{built_for[1]}", advice, is_needed=is_needed)
    seen = _seen_by_torch()
    if seen == len(visible):
        return Finding("CUDA", "ok", f"{shown}, and torch sees {seen} GPU{'s' if seen != 1 else ''}")
    result = "torch did not answer" if seen is None else f"torch sees {seen} of {len(visible)} GPUs"
    advice = 'run: python -c "import torch; torch.cuda.init()". The error names the cause'
    return lacking("CUDA", f"{shown}, but {result}", advice, is_needed=is_needed)


def _seen_by_torch() -> int | None:
    """The number of GPUs that torch can use, asked in a process of its own because it may hang."""
    code = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=TORCH_SECONDS, check=False
        )
        return int(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def _card(card: Card, stack_runs: bool) -> Finding:
    name = f"GPU {card.id}"
    if card.memory is None or card.free is None:
        return Finding(name, "warning", f"{card.name}, its memory is unknown", "nvidia-smi must show it to plan memory")
    result = f"{card.name}, {gib(card.memory)} GiB, {gib(card.free)} free, driver {card.driver}"
    if card.free < card.memory * (1 - USED) and not stack_runs:
        return Finding(name, "warning", result, "other programs use it: nvidia-smi shows them")
    return Finding(name, "ok", result)


def _vllm(visible: list[Card], is_needed: bool) -> Finding:
    build = vllm_build()
    if build is None:
        return _absent("vLLM", f"{GPU_EXTRA}; on a machine without a GPU: {CPU_EXTRA}", is_needed)
    version, for_cpu = build
    if for_cpu and visible:
        return Finding("vLLM", "warning", f"{version}, built for the CPU: the GPU is idle", GPU_EXTRA)
    if not for_cpu and not visible:
        advice = f"use a machine with a GPU, or {CPU_EXTRA} in a new environment"
        return lacking("vLLM", f"{version}, built for CUDA, without a GPU", advice, is_needed=is_needed)
    return Finding("vLLM", "ok", f"{version}, built for {'the CPU' if for_cpu else 'CUDA'}")


def _bitsandbytes(is_needed: bool) -> Finding:
    """Its version, and whether its wheel has the library for the installed torch."""
    spec, build = find_spec("bitsandbytes"), torch_build()
    if spec is None or spec.origin is None or build is None:
        return _absent("bitsandbytes", "pip install 'tracemill[train]'", is_needed)
    version, cuda = metadata.version("bitsandbytes"), build[1]
    library = f"libbitsandbytes_cuda{cuda[0]}{cuda[1]}.so" if cuda else "libbitsandbytes_cpu.so"
    if Path(spec.origin).with_name(library).is_file():
        return Finding("bitsandbytes", "ok", f"{version}, with {'CUDA' if cuda else 'CPU'} kernels")
    advice = "install a version of bitsandbytes that supports the CUDA version of torch"
    return lacking("bitsandbytes", f"{version} has no {library}", advice, is_needed=is_needed)


def missing_programs_findings(settings: Settings) -> Iterator[Finding]:
    """The extras of the other processes that `tracemill up` starts."""
    missing = missing_programs(settings.local)
    for program in missing:
        yield Finding(program.name, "broken", "not installed", program.advice)
    if not missing:
        yield Finding("other packages", "ok", "all that `tracemill up` starts is installed")


def _sandbox() -> Finding:
    refusal = Sandbox().refusal
    if refusal is None:
        return Finding("sandbox", "ok", "bubblewrap isolates tested programs")
    return Finding("sandbox", "warning", "none: questions of kind code wait, all others are verified", refusal)


def _disk(check: str, folder: Path) -> Finding:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    result = f"{gib(free)} GiB free for {'the data folder' if check == 'disk' else 'downloaded models'}"
    if free < MIN_FREE_BYTES:
        return Finding(check, "broken", result, f"free at least {MIN_FREE_BYTES // 2**20} MB, or use --data-dir")
    if free < LITTLE_DISK:
        return Finding(check, "warning", result, f"models and adapters need room: free {gib(LITTLE_DISK)} GiB")
    return Finding(check, "ok", result)


def _hub_disk(data: Path) -> Iterator[Finding]:
    """The disk of the hub's cache, if it is another one."""
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:
        return
    devices = [
        next(path for path in (folder, *folder.parents) if path.exists()).stat().st_dev
        for folder in (data, Path(HF_HUB_CACHE))
    ]
    if devices[0] != devices[1]:
        yield _disk("hub disk", Path(HF_HUB_CACHE))
