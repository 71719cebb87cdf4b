"""A machine with GPUs, as far as `nvidia-smi` shows them: a script of that name in a folder for `PATH`."""

import os
from pathlib import Path

MIB_OF_24_GIB = 24576
SCRIPT = """#!/bin/sh
case "$*" in
*--query-gpu*) printf '{rows}' ;;
*) echo '| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: {cuda} |' ;;
esac
"""


def path_with_cards(folder: Path, *memories_mib: int, cuda: str = "12.8", used_mib: int = 300) -> str:
    """Make the script in `folder`, with one card for each memory; return the value of PATH."""
    rows = "".join(
        f"{index}, GPU-{index}f3a1b2c-0000, NVIDIA GeForce RTX 4090, {memory}, {memory - used_mib}, 550.54\\n"
        for index, memory in enumerate(memories_mib)
    )
    folder.mkdir(exist_ok=True)
    script = folder / "nvidia-smi"
    script.write_text(SCRIPT.format(rows=rows, cuda=cuda))
    script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"
