"""What happens in every process that vLLM starts for us; in a vLLM that Tracemill did not start, nothing does.

vLLM calls `enter` in its engine core and in each worker, because the project registers it as a vLLM plugin. Those are
processes of their own, and after a kill -9 of ours they would stay behind with all their memory (on a GPU: the card's).
"""

import os

from tracemill.processes import die_with_parent

#: Set by the process that starts vLLM: its own id.
OWNER = "TRACEMILL_ENGINE_OWNER"


def enter() -> None:
    """Tie this process's life to its parent's, and put the CPU's LoRA right."""
    owner = os.environ.get(OWNER)
    if owner is None or int(owner) == os.getpid():
        return
    die_with_parent()  # engines are started from threads that live as long as their process
    if not os.path.exists(f"/proc/{owner}"):  # it ended before the call
        os._exit(1)

    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        from tracemill.engines import cpu_lora

        cpu_lora.install()
