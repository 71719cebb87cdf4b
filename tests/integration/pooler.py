"""The real pgbouncer, in transaction mode: each transaction of a client may have another session of Postgres."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg

from tests.integration.factory import wait_until
from tracemill.stack import Stack
from tracemill.stack.identity import identity
from tracemill.stack.state import free_port

#: None where `make pooler` could not install it.
PROGRAM = shutil.which("pgbouncer", path=f"{os.defpath}:/usr/sbin:/usr/local/bin")
CONFIG = """
[databases]
{database} = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 200
"""


@contextmanager
def pooler(stack: Stack, folder: Path, sessions: int) -> Iterator[str]:
    """Run pgbouncer with a pool of so many sessions until the block ends. Yields the address for `database_url`."""
    assert PROGRAM is not None
    who, port = identity(), free_port()
    config, log = folder / "pgbouncer.ini", folder / "pgbouncer.log"
    config.write_text(
        CONFIG.format(
            database=stack.postgres_database, host=stack.postgres_host, server_port=stack.postgres_port, port=port,
            folder=folder, sessions=sessions,
        )
    )  # fmt: skip
    (folder / "users").write_text(f'"{stack.postgres_user}" "{stack.postgres_password}"\n')
    who.take_over(folder)
    address = stack.database_url.replace(f":{stack.postgres_port}/", f":{port}/")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*who.prefix, PROGRAM, str(config)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=who.uid,
            group=who.gid,
        )
    try:
        wait_until(lambda: process.poll() is not None or _answers(address), 30, log.read_text)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _answers(address: str) -> bool:
    with suppress(psycopg.OperationalError):
        psycopg.connect(address.replace("+psycopg", ""), connect_timeout=2).close()
        return True
    return False
