"""Named queries: the files in `sql/`, split at their `-- name:` lines. `Q["claim"]` is a statement to execute."""

import re
from pathlib import Path

from sqlalchemy import TextClause, text


def _load(folder: Path) -> dict[str, TextClause]:
    queries: dict[str, TextClause] = {}
    for path in sorted(folder.glob("*.sql")):
        parts = re.split(r"^-- name: (\w+)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        queries |= {name: text(body.strip()) for name, body in zip(parts[1::2], parts[2::2], strict=True)}
    return queries


Q = _load(Path(__file__).with_name("sql"))
