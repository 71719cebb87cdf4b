"""Supervised Redis or Valkey: write its configuration, check whether it answers.

Redis holds only the messages of the queues. They survive a crash, because the append-only file is synced each second.
"""

from tracemill.stack.binaries import find_redis
from tracemill.stack.state import HOST, Folder, Stack, write_private
from tracemill.stack.supervise import DATA_SERVICES_FIRST, Unit

NAME = "redis"


def prepare(folder: Folder, stack: Stack) -> Unit:
    """Write the configuration. Returns its unit. Raises StackError if there is no server program."""
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
        # Messages are nudges of some 100 bytes, and the feeder keeps at most 10,000 questions in them.
        "maxmemory 512mb\n"
        # A full memory must be a visible error. Redis must not delete messages to free memory.
        "maxmemory-policy noeviction\n"
    )
    # Every user of the machine can read a command line, so the password is not part of it.
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
    """Whether the server accepts our password and answers."""
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
