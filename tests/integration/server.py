"""A Postgres server as an administrator gets it: a superuser, and nothing of ours."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.integration.factory import wait_until
from tracemill.stack import postgres
from tracemill.stack.identity import identity
from tracemill.stack.state import Folder, free_port

PASSWORD = "of-the-superuser"


@contextmanager
def new_server(root: Path) -> Iterator[str]:
    """Run a new server until the block ends. Yields the superuser's address."""
    who, data, password = identity(), root / "data", root / "password"
    binaries = postgres.find(Folder(root), who).folder
    data.mkdir(mode=0o700)
    password.write_text(PASSWORD)
    for path in (data, password):
        who.take_over(path)
    options = ("--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync")
    done = who.run([str(binaries / "initdb"), f"--pgdata={data}", *options])
    assert done.returncode == 0, done.stdout
    with _running(root, data) as address:
        yield address


@contextmanager
def replica_of(primary: str, root: Path) -> Iterator[str]:
    """Run a streaming replica of a server until the block ends. Yields the superuser's address."""
    who, data = identity(), root / "replica"
    data.mkdir(mode=0o700)
    who.take_over(data)
    done = who.run([program("pg_basebackup"), f"--dbname={primary}", f"--pgdata={data}", "--write-recovery-conf",
                    "--checkpoint=fast", "--no-sync"])  # fmt: skip
    assert done.returncode == 0, done.stdout
    with _running(root, data) as address:
        yield address


@contextmanager
def _running(root: Path, data: Path) -> Iterator[str]:
    who, port, log = identity(), free_port(), root / f"{data.name}.log"
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    flags = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    address = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*who.prefix, program("postgres"), "-D", str(data), *flags],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            user=who.uid,
            group=who.gid,
        )
    try:
        wait_until(lambda: _answers(address), 60, log.read_text)
        yield address
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown, without a wait for clients
        server.wait(60)


def _answers(address: str) -> bool:
    try:
        psycopg.connect(address, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def program(name: str) -> str:
    """The path of a client program of Postgres, of the version of the servers."""
    return str(postgres.find(Folder(Path("/nonexistent"))).folder / name)
