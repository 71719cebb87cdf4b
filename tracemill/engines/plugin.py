"""vLLM plugin for the processes that vLLM starts for Tracemill.

vLLM calls `enter` in its engine core and in each worker, because the project registers this plugin. These processes
would survive a kill -9 of their owner and keep their memory, on a GPU the GPU's. In a vLLM that Tracemill did not
start, the plugin does nothing.
"""

import os

from tracemill.processes import die_with_parent

#: Environment variable with the process id of the owner. The owner sets it before it starts vLLM.
OWNER = "TRACEMILL_ENGINE_OWNER"


def enter() -> None:
    """End this process together with its parent, and install the correct LoRA functions on CPU."""
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
