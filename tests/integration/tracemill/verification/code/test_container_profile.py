"""docker/bubblewrap.json: the sandbox works inside a container with this profile, tried without a container.

Bubblewrap stands in for Docker: it applies the profile to a process without capabilities.
"""

import errno
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tracemill.verification.code.sandbox import Sandbox

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
RUN = """
from tracemill.verification.code.sandbox import Sandbox
box = Sandbox()
print(box.refusal or box.run("print(6 * 7)").out.strip())
"""


def filtered(names: set[str]) -> bytes:
    """The filter that allows these calls only, for x86-64."""
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)", HEADER.read_text())}
    lines = [(0x20, 0, 0, 0)]  # the number of the call
    for name in names:
        lines += [(0x15, 0, 1, numbers[name]), (0x06, 0, 0, 0x7FFF0000)]
    return b"".join(struct.pack("<HBBI", *line) for line in [*lines, (0x06, 0, 0, 0x00050000 | errno.ENOSYS)])


def run_confined(names: set[str]) -> str:
    """What a program prints in the sandbox of a process that may make these calls only."""
    descriptor = os.memfd_create("profile")
    try:
        os.write(descriptor, filtered(names))
        os.lseek(descriptor, 0, os.SEEK_SET)
        options = ["--seccomp", str(descriptor), "--unshare-user", "--uid", "10001", "--gid", "10001",
                   "--cap-drop", "ALL", "--bind", "/", "/", "--dev-bind", "/dev", "/dev"]  # fmt: skip
        ended = subprocess.run(
            ["bwrap", *options, sys.executable, "-P", "-c", RUN],
            pass_fds=[descriptor], env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    finally:
        os.close(descriptor)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_the_sandbox_works_under_the_profile_of_the_containers() -> None:
    if shutil.which("bwrap") is None or Sandbox().refusal or platform.machine() != "x86_64" or not HEADER.is_file():
        pytest.skip(f"not tried: it needs bubblewrap and {HEADER}")
    profile = json.loads((ROOT / "docker/bubblewrap.json").read_text())
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", errno.ENOSYS)
    names = {name for rule in profile["syscalls"] for name in rule["names"]}
    assert run_confined(names) == "42"
    assert "bubblewrap failed" in run_confined(names - {"pivot_root"})
    assert not {"ptrace", "bpf", "init_module", "kexec_load", "process_vm_readv", "open_by_handle_at"} & names
