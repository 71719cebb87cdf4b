"""vLLM plugin for the processes that vLLM starts for Tracemill.

vLLM calls `enter` in its engine core and in each worker, because the project registers this plugin. These processes
would survive a kill -9 of their owner and keep their memory, on a GPU the GPU's. In a vLLM that Tracemill did not
start, the plugin does nothing.
"""

import os
import time

from tracemill.processes import die_with_owner

#: Environment variable with the process id of the owner. The owner sets it before it starts vLLM.
OWNER = "TRACEMILL_ENGINE_OWNER"
#: Pause between two looks for a message of another process, on CPU, where a step takes more than 10 ms.
POLL_SECONDS = 0.0005


def enter() -> None:
    """End this process together with its parent. On CPU install correct LoRA functions and waits that sleep."""
    owner = os.environ.get(OWNER)
    if owner is None or int(owner) == os.getpid():
        return
    die_with_owner(int(owner))  # engines are started from threads that live as long as their process

    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        from tracemill.engines import cpu_lora

        cpu_lora.install()
        _sleep_while_waiting()


def _sleep_while_waiting() -> None:
    """Make vLLM's processes sleep while they wait for each other.

    They would poll without a pause. With as many computing threads as cores, a polling process takes a third of the
    time from them.
    """
    from vllm.distributed.device_communicators import shm_broadcast

    shm_broadcast.sched_yield = lambda: time.sleep(POLL_SECONDS)
