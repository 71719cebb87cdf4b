"""The page over a file, as a browser on this machine sees it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from web.app import application
from web.files import FileStore

TOKEN = "a-token-of-the-tests"
PORT = 8123


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a file of traces, JSONL or Parquet by its name."""
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@contextmanager
def browser(path: Path, *, admitted: bool = True) -> Iterator[TestClient]:
    """A client of the page over a file or a folder; `admitted`: it has opened the address with the token."""
    store = FileStore(path)
    try:
        client = TestClient(application(store, TOKEN, PORT), base_url=f"http://127.0.0.1:{PORT}")
        if admitted:
            assert client.get(f"/?token={TOKEN}").status_code == 200
        yield client
    finally:
        store.close()


class Elements(HTMLParser):
    """The elements of a page with their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.parts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.parts)
