"""What the plugin changes in vLLM's processes on CPU."""

import threading
from uuid import uuid4

import pytest

from tracemill.engines import plugin


def test_a_dropped_notification_does_not_stop_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    import zmq
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    monkeypatch.setattr(SpinCondition, "wait", SpinCondition.wait)  # restored at the end
    plugin._wait_without_polling()
    context, address = zmq.Context(), f"inproc://{uuid4()}"
    writer = SpinCondition(is_reader=False, context=context, notify_address=address)  # it notifies nobody
    reader = SpinCondition(is_reader=True, context=context, notify_address=address)
    waits = threading.Thread(target=reader.wait)
    waits.start()
    waits.join(60)
    ended = not waits.is_alive()
    reader.cancel()
    waits.join()
    for end in (reader.local_notify_socket, reader.read_cancel_socket, reader.write_cancel_socket):
        end.close(linger=0)
    writer.local_notify_socket.close(linger=0)
    context.term()
    assert ended
