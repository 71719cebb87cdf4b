"""The `tracemill` commands of the documents: commands in code blocks, and commands that the text mentions."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "SECURITY.md", "docs/*.md", "recipes/README.md", "docker/README.md", "benchmarks/README.md")
COMMENTED = ("recipes/*.toml", "tracemill.example.toml", "docker/*.yaml", "docker/*.toml")

BLOCK = re.compile(r"^(`{3,})(?P<language>\w*)\n(?P<content>.*?)^\1", re.DOTALL | re.MULTILINE)
#: A line of a block, with an optional program that runs the command, such as docker compose.
LINE = re.compile(r"\s*(?:docker compose .*? )?(?:\.venv/bin/)?(tracemill .+)")
#: A table cell that contains only a command and its variables.
CELL = re.compile(r"\| `(?:[A-Z_]+=\S+ )?(tracemill [^`]+)` \|")
MENTION = re.compile(r"`(tracemill [^`]+)`")
COMMENT = re.compile(r"^#.*: (tracemill .+)$", re.MULTILINE)


def commands() -> Iterator[str]:
    """Yield every command that a reader may copy, without its trailing remark."""
    for page in _files(PAGES):
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for block in BLOCK.finditer(text):
            for line in block["content"].splitlines():
                if match := LINE.match(line):
                    yield _bare(match[1])
        yield from map(_bare, CELL.findall(text))
    for file in _files(COMMENTED):
        yield from map(_bare, COMMENT.findall(file.read_text(encoding="utf-8")))


def mentions() -> Iterator[str]:
    """Yield every command that a sentence mentions, usually in part."""
    for file in _files((*PAGES, *COMMENTED)):
        text = BLOCK.sub("", file.read_text(encoding="utf-8"))
        yield from (" ".join(command.split()) for command in MENTION.findall(text))


def blocks(language: str) -> Iterator[str]:
    """Yield every code block of the pages in this language."""
    for page in _files(PAGES):
        for block in BLOCK.finditer(page.read_text(encoding="utf-8")):
            if block["language"] == language:
                yield block["content"]


def block_after(page: str, line: str) -> str:
    """Return the code block of a page that begins with the line."""
    blocks = (block["content"] for block in BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")))
    return next(block for block in blocks if block.startswith(line))


def _files(patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(ROOT.glob(pattern))


def _bare(line: str) -> str:
    return " ".join(line.split(" # ")[0].split())
