"""What happens in every process that vLLM starts for us; in a vLLM that Tracemill did not start, nothing does.

vLLM calls `enter` in its engine core and in each worker, because the project registers it as a vLLM plugin. Those are
processes of their own, and after a kill -9 of ours they would stay behind with all their memory (on a GPU: the card's).
"""

import ctypes
import os
import signal

#: Set by the process that starts vLLM: its own id.
OWNER = "TRACEMILL_ENGINE_OWNER"
PR_SET_PDEATHSIG = 1  # prctl(2)


def enter() -> None:
    """Tie this process's life to its parent's, and put the CPU's LoRA right."""
    owner = os.environ.get(OWNER)
    if owner is None or int(owner) == os.getpid():
        return
    # Linux only, like vLLM. The kernel watches the thread that started this process: engines are started from threads
    # that live as long as their process.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if not os.path.exists(f"/proc/{owner}"):  # it died before we asked
        os._exit(1)

    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        from tracemill.engines import cpu_lora

        cpu_lora.install()
