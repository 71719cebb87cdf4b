"""The folder of an archived job: Parquet files, and a manifest with the SHA-256 of each.

A local folder gets its name when it is complete. In a store its manifest comes last. So each archive has a manifest.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from cli.output import json_default
from tracemill.errors import TracemillError, UsageError, reason_of
from tracemill.settings import settings

MANIFEST, LINEAGE = "manifest.json", "lineage.parquet"


class Destination(NamedTuple):
    """The place of the archives of jobs: a folder, or a store that pyarrow reaches."""

    #: A `pyarrow.fs.FileSystem`.
    filesystem: Any
    path: str
    #: The local folder that the archives are made in. For a store they are copied from there, and then removed.
    folder: Path

    def of(self, job: str) -> str:
        """The archive of a job. Names of jobs may have slashes."""
        return f"{self.path}/{quote(job, safe='')}"

    @property
    def is_local(self) -> bool:
        return self.path == str(self.folder)

    def local(self) -> "Destination":
        """The local folder that the archives are made in, as a destination."""
        return _folder(self.folder)


def destination(to: str) -> Destination:
    """The destination that `--to` names. Raises UsageError for an address that pyarrow does not know."""
    from pyarrow.fs import FileSystem

    if "://" not in to:
        return _folder(Path(to))
    try:
        filesystem, path = FileSystem.from_uri(to)
    except (OSError, ValueError) as error:  # pyarrow.ArrowInvalid is a ValueError
        raise UsageError(f"--to {to}: {reason_of(error)}") from None
    return Destination(filesystem, path.rstrip("/"), Path(os.path.abspath(settings().data_dir / "archives")))


def _folder(folder: Path) -> Destination:
    from pyarrow.fs import LocalFileSystem

    path = os.path.abspath(folder)
    return Destination(LocalFileSystem(), path, Path(path))


def manifest_of(to: Destination, job: str) -> dict[str, Any] | None:
    """The manifest of an archive; None if there is no archive. Raises UsageError if something else is there."""
    from pyarrow.fs import FileType

    if to.filesystem.get_file_info(f"{to.of(job)}/{MANIFEST}").type == FileType.NotFound:
        if to.is_local and os.path.exists(to.of(job)):
            raise UsageError(f"{to.of(job)} exists and is no archive: choose another folder")
        return None
    with to.filesystem.open_input_stream(f"{to.of(job)}/{MANIFEST}") as stream:
        manifest: dict[str, Any] = json.loads(stream.read())
    return manifest


def check(to: Destination, job: str, manifest: Mapping[str, Any]) -> None:
    """Raise TracemillError if a file of an archive is missing or differs from its SHA-256."""
    for file in manifest["files"]:
        path = f"{to.of(job)}/{file['name']}"
        try:
            with to.filesystem.open_input_stream(path) as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise TracemillError(f"the archive is damaged: cannot read {path}: {reason_of(error)}") from None
        if digest != file["sha256"]:
            raise TracemillError(f"the archive is damaged: {path} has another SHA-256 than {MANIFEST} states")


def complete(folder: Path, record: Mapping[str, Any]) -> None:
    """Write the manifest of a folder with Parquet files, and bring all to the disk."""
    from pyarrow.parquet import ParquetFile

    files = []
    for path in sorted(folder.iterdir()):
        _sync(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        rows = ParquetFile(path).metadata.num_rows
        files.append({"name": path.name, "rows": rows, "bytes": path.stat().st_size, "sha256": sha256})
    content = json.dumps({**record, "files": files}, ensure_ascii=False, indent=1, default=json_default)
    (folder / MANIFEST).write_text(content, encoding="utf-8")
    for path in (folder / MANIFEST, folder):
        _sync(path)


def copy(to: Destination, job: str) -> None:
    """Copy an archive from its local folder to the store, and remove the folder. An interrupted copy is repeated."""
    from pyarrow.fs import LocalFileSystem, copy_files

    folder = Path(to.local().of(job))
    names = sorted((path.name for path in folder.iterdir()), key=lambda name: name == MANIFEST)
    to.filesystem.create_dir(to.of(job), recursive=True)
    for name in names:
        copy_files(
            str(folder / name),
            f"{to.of(job)}/{name}",
            source_filesystem=LocalFileSystem(),
            destination_filesystem=to.filesystem,
        )
    shutil.rmtree(folder)


def _sync(path: Path) -> None:
    """Bring a file or folder to the disk, as far as its file system can."""
    number = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(number)
    finally:
        os.close(number)
