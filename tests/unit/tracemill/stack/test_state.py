import json
import os
import shutil
import socket
import stat
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tracemill import stack
from tracemill.errors import StackError, UsageError
from tracemill.stack import state


def a_folder(tmp_path: Path) -> state.Folder:
    folder = state.folder_of(tmp_path / "data")
    folder.create()
    return folder


def test_a_saved_stack_is_private_and_loads_unchanged(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    made = state.new_stack(folder)
    state.save(folder, made)
    assert state.load(folder.root) == made
    assert stat.S_IMODE(folder.state.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    assert [path.name for path in folder.root.iterdir() if path.name.startswith(".")] == [".gitignore"]


def test_a_folder_without_a_stack_loads_as_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert state.load(tmp_path) is None
    assert state.load(tmp_path / "missing") is None
    assert state.load(tmp_path / "file" / "below") is None


@pytest.mark.parametrize("text", ["", "[]", '{"postgres_port": 1}', '{"surprise": 1}', "\udcff"])
def test_the_error_for_a_damaged_stack_file_names_it_and_a_remedy(tmp_path: Path, text: str) -> None:
    state.write_private(tmp_path / "stack.json", "")
    (tmp_path / "stack.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(StackError, match=r"stack\.json is damaged .* Remove it"):
        state.load(tmp_path)


def test_urls_hold_the_password_and_repr_does_not(tmp_path: Path) -> None:
    made = replace(state.new_stack(a_folder(tmp_path)), postgres_port=5, redis_port=6, postgres_password="p1")
    made = replace(made, reader_password="p2", redis_password="p3")
    assert made.database_url == "postgresql+psycopg://tracemill:p1@127.0.0.1:5/tracemill"
    assert made.reader_url == "postgresql://tracemill_reader:p2@127.0.0.1:5/tracemill"
    assert made.redis_url == "redis://:p3@127.0.0.1:6/0"
    assert "p1" not in repr(made)
    assert "p2" not in repr(made)
    assert "p3" not in repr(made)
    assert "secret" not in repr(state.Program("worker", ["true"], {"TOKEN": "secret"}))


def test_new_stacks_have_distinct_ports_and_passwords(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    first, second = state.new_stack(folder), state.new_stack(folder)
    assert len({first.postgres_port, first.redis_port, first.flower_port}) == 3
    assert len({first.postgres_password, first.redis_password, first.flower_password, second.postgres_password}) == 4


def test_a_kept_port_stays_unless_another_program_took_it() -> None:
    kept = state.free_port()
    assert state.choose_port("Redis", None, kept, ()) == kept
    assert state.choose_port("Redis", None, kept, (kept,)) != kept
    with socket.socket() as foreign:
        foreign.bind((state.HOST, kept))
        foreign.listen()
        assert state.choose_port("Redis", None, kept, ()) != kept
        with pytest.raises(UsageError, match=f"port {kept} is taken"):
            state.choose_port("Redis", kept, kept, ())


def test_a_port_the_user_fixed_wins_over_the_kept_one() -> None:
    fixed = state.free_port()
    assert state.choose_port("Redis", fixed, state.free_port((fixed,)), ()) == fixed


def test_sockets_use_a_short_private_folder_if_the_data_path_is_long(tmp_path: Path) -> None:
    folder = state.folder_of(tmp_path / ("deep" * 30))
    folder.create()
    inside = str(folder.root / "run")
    run_dir = state.usable_run_dir(folder, inside)
    try:
        assert len(run_dir) <= state.LONGEST_RUN_DIR
        assert stat.S_IMODE(os.stat(run_dir).st_mode) == 0o700
        assert state.usable_run_dir(folder, run_dir) == run_dir
        os.chmod(run_dir, 0o777)
        other = state.usable_run_dir(folder, run_dir)
        assert other != run_dir
        shutil.rmtree(other)
    finally:
        shutil.rmtree(run_dir)


def test_an_impossible_data_folder_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"data folder .*file/data cannot be used"):
        state.folder_of(tmp_path / "file" / "data").create()


def test_a_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "MIN_FREE_BYTES", 2**60)
    with pytest.raises(StackError, match="MB are free on the disk of the data folder"):
        state.folder_of(tmp_path / "data").create()


def test_a_private_file_is_replaced_completely(tmp_path: Path) -> None:
    path = tmp_path / "unit.json"
    path.write_text("old")
    state.write_private(path, json.dumps({"new": "é"}))
    assert json.loads(path.read_text()) == {"new": "é"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_down_without_a_stack_does_nothing(tmp_path: Path) -> None:
    stack.down(tmp_path / "nothing")
    assert stack.status(tmp_path / "nothing") == []
    assert not (tmp_path / "nothing").exists()


def test_down_deletes_no_folder_that_a_stack_file_merely_names(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o700)
    (victim / "thesis.tex").write_text("")
    folder.lock.touch()
    for mark in ("", "another stack"):
        (victim / "tracemill-stack").write_text(mark)
        state.save(folder, replace(state.new_stack(folder), run_dir=str(victim)))
        stack.down(folder.root)
        assert (victim / "thesis.tex").exists()


def test_down_deletes_the_run_folder_that_up_made_elsewhere(tmp_path: Path) -> None:
    folder = state.folder_of(tmp_path / ("deep" * 30))
    folder.create()
    folder.lock.touch()
    run_dir = state.usable_run_dir(folder, "")
    state.save(folder, replace(state.new_stack(folder), run_dir=run_dir))
    stack.down(folder.root)
    assert not Path(run_dir).exists()


@pytest.mark.parametrize("part", ["postgres", "redis", "logs", "units", "run"])
def test_up_follows_no_link_that_came_with_the_data_folder(tmp_path: Path, part: str) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / part).symlink_to(victim)
    with pytest.raises(StackError, match=f"{part} is a symbolic link"):
        a_folder(tmp_path)
    assert list(victim.iterdir()) == []


def test_up_makes_an_existing_data_folder_private(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o777)
    assert stat.S_IMODE(a_folder(tmp_path).root.stat().st_mode) & 0o066 == 0


def test_git_ignores_the_data_folder_with_its_passwords(tmp_path: Path) -> None:
    assert (a_folder(tmp_path).root / ".gitignore").read_text() == "*\n"


def test_a_stack_file_from_a_clone_is_refused(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    state.save(folder, state.new_stack(folder))
    folder.state.chmod(0o644)
    with pytest.raises(StackError, match=r"others can read .*stack\.json.* `chmod 600"):
        state.load(folder.root)


@pytest.mark.parametrize(
    "values",
    [
        {"redis_password": "x\nloadmodule /tmp/evil.so"},
        {"postgres_password": "x'; copy t to program 'touch /tmp/evil"},
        {"postgres_user": "x superuser; drop table t"},
        {"postgres_host": "evil.example"},
        {"flower_port": "5555\n"},
        {"redis_port": True},
    ],
)
def test_values_that_up_never_writes_into_the_stack_file_are_refused(tmp_path: Path, values: dict[str, object]) -> None:
    folder = a_folder(tmp_path)
    state.write_private(folder.state, json.dumps({**asdict(state.new_stack(folder)), **values}))
    with pytest.raises(StackError, match=f"stack.json is damaged .{next(iter(values))}"):
        state.load(folder.root)
