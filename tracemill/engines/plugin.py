"""vLLM plugin for the processes that vLLM starts for Tracemill.

vLLM calls `enter` in its engine core and in each worker, because the project registers this plugin. These processes
would survive a kill -9 of their owner and keep their memory, on a GPU the GPU's. In a vLLM that Tracemill did not
start, the plugin does nothing.
"""

import os
from typing import Any

from tracemill.processes import die_with_owner

#: Environment variable with the process id of the owner. The owner sets it before it starts vLLM.
OWNER = "TRACEMILL_ENGINE_OWNER"
#: The longest wait for a notification of another process, on CPU, where a step takes more than 10 ms.
WAIT_MS = 5


def enter() -> None:
    """End this process together with its parent. On CPU install correct LoRA functions and waits without polling."""
    owner = os.environ.get(OWNER)
    if owner is None or int(owner) == os.getpid():
        return
    die_with_owner(int(owner))  # engines are started from threads that live as long as their process

    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        from tracemill.engines import cpu_lora

        cpu_lora.install()
        _wait_without_polling()


def _wait_without_polling() -> None:
    """Make vLLM's processes wait for each other's notifications.

    They would poll for a second before each wait, and a step is shorter than that. With as many computing threads as
    cores, a polling process takes their time. ZeroMQ may drop a notification (vLLM lets one wait to be sent), so each
    wait is short.
    """
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    wait = SpinCondition.wait

    def wait_at_once(self: Any, timeout_ms: int | None = None) -> None:
        self.busy_loop_s = 0
        wait(self, WAIT_MS if timeout_ms is None else min(WAIT_MS, timeout_ms))

    SpinCondition.wait = wait_at_once
