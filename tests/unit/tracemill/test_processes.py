import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from tracemill.processes import is_alive, unique_name

CHILD = """
import time
from tracemill.processes import die_with_parent
die_with_parent()
print("ready", flush=True)
time.sleep(60)
"""
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


#: Its child imports this file again, and never comes to the end of that.
OWNER = """
import multiprocessing, sys, time
from tracemill.processes import tied_children

if __name__ != "__main__":
    print("importing", flush=True)
    time.sleep(60)
with tied_children():
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=[60])
    child.start()
print(child.pid, flush=True)
time.sleep(60)
"""


def wait_for_end(child: psutil.Process) -> bool:
    deadline = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(child)


def test_two_names_of_one_process_differ() -> None:
    assert unique_name() != unique_name()


def test_a_child_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    assert wait_for_end(child)
    parent.stdout.close()


def test_a_spawned_child_ends_with_its_parent_while_it_still_imports(tmp_path: Path) -> None:
    (tmp_path / "owner.py").write_text(OWNER)
    with subprocess.Popen([sys.executable, tmp_path / "owner.py"], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        lines = {owner.stdout.readline().strip() for _ in range(2)}
        assert "importing" in lines
        (pid,) = lines - {"importing"}
        child = psutil.Process(int(pid))
        owner.kill()
        owner.wait()
        assert wait_for_end(child)


def test_a_child_whose_owner_has_ended_ends_at_once() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    code = f"from tracemill.processes import die_with_owner; die_with_owner({ended.pid}); print('alive')"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.pid_exists(ended.pid)
        assert not is_alive(ended.pid)
    assert not is_alive(ended.pid)
    assert is_alive(os.getpid())
