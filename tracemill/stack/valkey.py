"""Redis or Valkey under supervision: its configuration file and the question whether it answers.

Redis holds the queue's nudges only, yet they survive a crash: the append-only file is synced each second.
"""

from tracemill.stack.binaries import find_redis
from tracemill.stack.state import HOST, Folder, Stack, write_private
from tracemill.stack.supervise import DATA_SERVICES_FIRST, Unit

NAME = "redis"


def prepare(folder: Folder, stack: Stack) -> Unit:
    """Write the configuration; the unit to supervise. Raises StackError if there is no server program."""
    server = find_redis()
    settings = (
        f"bind {HOST}\n"
        f"port {stack.redis_port}\n"
        "protected-mode yes\n"
        f"requirepass {stack.redis_password}\n"
        "daemonize no\n"
        "appendonly yes\n"
        "appendfsync everysec\n"
        'save ""\n'
        # The queue must never lose a message to make room: a full memory is an error that somebody sees.
        "maxmemory-policy noeviction\n"
    )
    # The password stays out of the command line, which anybody on the machine may read.
    write_private(folder.redis / "redis.conf", settings)
    return Unit(
        name=NAME,
        command=[str(server), "redis.conf"],
        environment={},
        directory=str(folder.redis),
        stop_seconds=8,
        priority=DATA_SERVICES_FIRST,
    )


def answers(stack: Stack) -> bool:
    """Whether the server takes our password and answers."""
    import redis

    client = redis.Redis(
        host=HOST, port=stack.redis_port, password=stack.redis_password, socket_timeout=2, socket_connect_timeout=2
    )
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
