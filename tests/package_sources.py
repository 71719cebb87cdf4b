"""The Python sources of a package, from a folder or from a wheel on an index. Nothing is imported.

Of a wheel behind HTTP only the needed files are transferred. They stay in a folder of the system's temporary files.
"""

import ast
import io
import os
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import cast

from tests.packages import wheel_url

#: Bytes of one transfer.
BLOCK = 1 << 18


class Ranges(io.RawIOBase):
    """A file on an HTTP server, read in blocks. Raises OSError if the server does not answer or gives no ranges."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._position = 0
        self._blocks: dict[int, bytes] = {}
        self._size = int(self._get("bytes=0-0")[1].rpartition("/")[2])

    def _get(self, interval: str) -> tuple[bytes, str]:
        request = urllib.request.Request(self._url, headers={"Range": interval})
        with urllib.request.urlopen(request, timeout=30) as answer:
            if answer.status != 206:
                raise OSError(f"{self._url}: the server gives no ranges of a file")
            return answer.read(), answer.headers["Content-Range"]

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        end = self._size if size is None or size < 0 else min(self._size, self._position + size)
        start, self._position = self._position, end
        first, last = start // BLOCK, max(start, end - 1) // BLOCK
        data = b"".join(self._block(number) for number in range(first, last + 1))
        return data[start - first * BLOCK : end - first * BLOCK]

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            start = number * BLOCK
            self._blocks[number] = self._get(f"bytes={start}-{min(start + BLOCK, self._size) - 1}")[0]
        return self._blocks[number]


class Sources:
    """The source files of an installed package, below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> str | None:
        """The text of a file; None if there is none."""
        file = self._folder / path
        return file.read_text(encoding="utf-8") if file.is_file() else None

    @lru_cache  # noqa: B019 - one object for all tests of a file
    def tree(self, module: str) -> ast.Module | None:
        """The syntax tree of a module; None if there is none."""
        path = module.replace(".", "/")
        text = self.read(f"{path}.py") or self.read(f"{path}/__init__.py")
        return None if text is None else ast.parse(text)

    def definition(self, module: str, name: str) -> ast.stmt | None:
        """The statement that defines a name of a module, also through imports; None if there is none."""
        tree = self.tree(module)
        if tree is None:
            return None
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                return node
            if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
                return node
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return self.definition(_imported(module, node, self._is_package(module)), alias.name)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
                return node
        return ast.Pass() if self.tree(f"{module}.{name}") else None

    def members(self, module: str, name: str) -> set[str]:
        """Fields, methods and properties of a class and its bases, and attributes that its methods assign."""
        names: set[str] = set()
        for cls in self._family(module, name):
            for node in ast.walk(cls):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    names.add(node.name)
                elif isinstance(node, ast.AnnAssign | ast.Assign):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    names |= {t.id for t in targets if isinstance(t, ast.Name)}
                    names |= {t.attr for t in targets if isinstance(t, ast.Attribute)}
        return names

    def parameters(self, module: str, name: str, method: str = "__init__") -> list[str]:
        """The parameters of a function, of a class's method, or the fields of a class without `__init__`."""
        definition = self.definition(module, name)
        functions = [definition] if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef) else []
        for cls in self._family(module, name):
            functions += [
                node
                for node in cls.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == method
            ]
        if functions:
            arguments = functions[0].args
            names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
            return [each for each in names if each not in ("self", "cls")]
        fields = [node for cls in self._family(module, name) for node in cls.body if isinstance(node, ast.AnnAssign)]
        return [cast(ast.Name, field.target).id for field in fields]

    def _family(self, module: str, name: str) -> Iterator[ast.ClassDef]:
        definition = self.definition(module, name)
        if isinstance(definition, ast.ClassDef):
            yield definition
            for base in definition.bases:
                if isinstance(base, ast.Name):
                    yield from self._family(self._home(module, name), base.id)

    def _home(self, module: str, name: str) -> str:
        """The module that holds the definition of a name, after all imports."""
        tree = self.tree(module)
        assert tree is not None
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return self._home(_imported(module, node, self._is_package(module)), alias.name)
        return module

    def _is_package(self, module: str) -> bool:
        return self.read(f"{module.replace('.', '/')}.py") is None


class WheelSources(Sources):
    """The source files of the wheel that pip would install for a requirement. Raises OSError if it cannot be had."""

    def __init__(self, requirement: str) -> None:
        super().__init__(Path(tempfile.gettempdir()) / "tracemill-tests" / requirement)
        self._requirement = requirement

    @cached_property
    def _wheel(self) -> zipfile.ZipFile:
        url = wheel_url(self._requirement)
        if url is None:
            raise OSError(f"pip's index has no {self._requirement}, or does not answer")
        if url.startswith("file:"):
            return zipfile.ZipFile(urllib.request.url2pathname(url.removeprefix("file://")))
        return zipfile.ZipFile(Ranges(url))

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of all files in the wheel."""
        listing = self._folder / "names"
        if not listing.is_file():
            self._keep(listing, "\n".join(self._wheel.namelist()))
        return frozenset(listing.read_text(encoding="utf-8").splitlines())

    def read(self, path: str) -> str | None:
        if path not in self.names:
            return None
        if super().read(path) is None:
            self._keep(self._folder / path, self._wheel.read(path).decode())
        return super().read(path)

    def _keep(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f"{file.name}.{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)


def _imported(module: str, node: ast.ImportFrom, is_package: bool) -> str:
    """The absolute name of the module from which `node` imports."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    parents = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*parents, *filter(None, [node.module])])
