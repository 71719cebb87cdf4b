# ruff: noqa: E501 (programs read best one to a line)
"""Programs for the sandbox: hostile ones, and ordinary ones that must run."""

import os
from pathlib import Path

from tests import ROOT
from tracemill.verification.code import seccomp
from tracemill.verification.code.sandbox import INTERPRETER

#: an attempt prints "held" if it fails; any other output is an escape
ATTEMPT = """
import ctypes, os, socket, sys
def attempt(action):
    try:
        print("ESCAPED", action())
    except (OSError, ValueError) as error:
        print("held:", type(error).__name__)
"""
READ = "attempt(lambda: (os.listdir if os.path.isdir({0!r}) else lambda path: open(path, 'rb').read(99))({0!r}))"

OUTSIDE = [
    *("/etc/shadow", "/etc/passwd", "/etc", "/root", "/home", "/var", "/run", "/opt", "/sys/class/net", "/boot"),
    *("/proc", "/proc/1/root", "/proc/1/environ", "/proc/self/environ", "/proc/self/mem", "/proc/self/fd/3"),
    *("/proc/sys/kernel/core_pattern", "/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/tty", "/dev/vsock"),
    *("/usr/bin/sudo", "/usr/bin/su", "/bin/sh", str(ROOT), str(ROOT / "pyproject.toml"), str(Path.home())),
]
WRITES = {
    "root folder": "open('/x', 'w')",
    "libraries": "open('/usr/lib/x', 'w')",
    "standard library": "open(os.__file__, 'a')",
    "interpreter": f"open({INTERPRETER!r}, 'r+b')",
    "devices": "open('/dev/x', 'w')",
    "interpreter replaced": f"os.rename('/tmp', {INTERPRETER!r})",
    "library removed": "os.unlink(os.__file__)",
    "link to a file outside": "(os.symlink('/etc/shadow', '/tmp/link'), open('/tmp/link').read())",
    "link out of the library": "os.link(os.__file__, '/tmp/os.py')",
    "folder above": "open('/tmp/../../../../../etc/shadow').read()",
}
RIGHTS = {
    "root": "os.setuid(0)",
    "groups": "os.setgroups([0])",
    "another user": "os.setresuid(1, 1, 1)",
    "change of owner": "(open('/tmp/f', 'w'), os.chown('/tmp/f', 0, 0))",
    "device": "os.mknod('/tmp/disk', 0o060666, os.makedev(254, 0)) or open('/tmp/disk', 'rb').read(1)",
    "more memory": "__import__('resource').setrlimit(__import__('resource').RLIMIT_AS, (-1, -1))",
    "more processes": "__import__('resource').setrlimit(__import__('resource').RLIMIT_NPROC, (9999, 9999))",
    "priority": "os.nice(-10)",
    "real time": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))",
    "chroot": "os.chroot('/tmp')",
    "host name": "socket.sethostname('pwned')",
    "its own process": "os.kill(os.getpid(), 9)",
    "its own process by its thread": "(__import__('signal').raise_signal(9))",
    "the process before it": "os.kill(os.getppid(), 0)",
    "all processes": "os.kill(-1, 0)",
    "its group": "os.killpg(0, 9)",
    "limits of another process": "__import__('resource').prlimit(1, __import__('resource').RLIMIT_CPU)",
    "the first process": "os.kill(1, 9) or os.kill(1, 0) or open('/proc/1/status').read()",
}
SOCKETS = {
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "vsock": "socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)",
    "crypto": "socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)",
    "raw": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "loopback": "socket.socket(socket.AF_INET).bind(('127.0.0.1', 0))",
    "loopback in IPv6": "socket.socket(socket.AF_INET6).bind(('::1', 0))",
    "another address": "socket.create_connection(('192.0.2.1', 80), 2)",
    "name server": "socket.getaddrinfo('example.com', 80)",
    "datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "IPv6": "socket.create_connection(('2001:db8::1', 80), 2)",
    "datagrams": "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "a pair of datagrams": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
    "larger buffers": "socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)",
}
SLEEP = "import time; time.sleep(1000)"
DAEMON = f"import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        {SLEEP}\n    os._exit(0)\n"
#: program, and the start of the reason why it is killed; "" if it ends by itself
HUNGRY = {
    "fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", "timeout"),
    "fork bomb that exits": (
        "import os\nwhile True:\n    try:\n        if os.fork() == 0: os._exit(0)\n    except OSError: pass",
        "timeout",
    ),
    "threads": (
        "import threading, time\nfor _ in range(10**6):\n    threading.Thread(target=time.sleep, args=(99,)).start()",
        "timeout",
    ),
    "memory": ("x = 'a' * 10**10", ""),
    "memory bit by bit": ("x = []\nwhile True: x.append(' ' * 10**6 + str(len(x)))", ""),
    "memory of many": (
        f"import os\nfor _ in range(4): os.fork()\nx = 'a' * (100 << 20)\n{SLEEP}",
        "memory over 256 MB",
    ),
    "shared memory": (
        f"import mmap, os\nfor _ in range(3): os.fork()\nm = mmap.mmap(-1, 100 << 20)\nm.write(b'x' * len(m))\n{SLEEP}",
        "memory over 256 MB",
    ),
    "hidden memory": (
        "import ctypes, os\nctypes.CDLL(None).prctl(4, 0)\nfor _ in range(4): os.fork()\nx = 'a' * (100 << 20)\n"
        + SLEEP,
        "memory over 256 MB",
    ),
    "memory in sockets": (
        "import os, socket, time\nfor _ in range(4): os.fork()\npairs = []\nwhile True:\n"
        "    try: pairs += socket.socketpair()\n    except OSError: break\n"
        "for each in pairs:\n    each.setblocking(False)\n    try:\n        while True: each.send(b'x' * 65536)\n"
        f"    except OSError: pass\n{SLEEP}",
        "memory over 256 MB",
    ),
    "disk": ("f = open('/tmp/f', 'wb')\nwhile True: f.write(b'x' * 10**6)", ""),
    "disk by many files": ("n = 0\nwhile True:\n    n += 1; open(f'/tmp/{n}', 'wb').write(b'x' * 10**6)", ""),
    "disk through /dev/shm": ("n = 0\nwhile True:\n    n += 1; open(f'/dev/shm/{n}', 'wb').write(b'x' * 10**6)", ""),
    "empty files": (
        "import os\nn = 0\nwhile True:\n    n += 1; os.close(os.open(f'/tmp/{n}', os.O_CREAT))",
        "more than 10000 files",
    ),
    "descriptors": ("x = []\nwhile True: x.append(open('/dev/null'))", ""),
    "endless output": ("while True: print('x' * 1000)", "output over"),
    "endless errors": ("import sys\nwhile True: print('x' * 1000, file=sys.stderr)", "output over"),
    "endless output of a child": (
        "import os\nif os.fork():\n    os.wait()\nwhile True: os.write(1, b'x' * 9999)",
        "output over",
    ),
    "spin": ("while True: pass", "timeout after 2 s"),
    "spin in C": ("10 ** 10 ** 9", "timeout after 2 s"),
    "regular expression": ("import re; re.match('(a+)+b', 'a' * 99)", "timeout after 2 s"),
    "sleep": (SLEEP, "timeout after 2 s"),
    "deaf to signals": (
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
        "timeout",
    ),
    "silent": (
        "import os\nfor n in range(99):\n    try: os.close(n)\n    except OSError: pass\nwhile True: pass",
        "timeout",
    ),
    "stopped": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", ""),
    "daemon": (DAEMON, ""),
    "daemon that holds the output": (
        DAEMON.replace("time.sleep(1000)", "\n        while True: print(1, flush=True); time.sleep(.1)"),
        "",
    ),
    "recursion": ("def f(): f()\nf()", ""),
    "kill everybody": ("import os; os.kill(-1, 9)", ""),
    "signals to the parent": ("import os\nfor n in (1, 2, 3, 9, 15):\n    os.kill(os.getppid(), n)", ""),
    "crash": ("import ctypes; ctypes.string_at(0)", ""),
}

#: programs that must run
ORDINARY = {
    "asyncio": "import asyncio\nasync def main(): await asyncio.gather(*(asyncio.sleep(0.01) for _ in range(9)))\nasyncio.run(main())",
    "asyncio with a child": f"import asyncio\nasync def main():\n    child = await asyncio.create_subprocess_exec({INTERPRETER!r}, '-c', 'pass')\n    assert await child.wait() == 0\nasyncio.run(main())",
    "threads": "import threading\nthreads = [threading.Thread(target=sum, args=([1],)) for _ in range(9)]\nfor each in threads: each.start()\nfor each in threads: each.join()",
    "executors": "import concurrent.futures as f\nfor pool in (f.ThreadPoolExecutor(4), f.ProcessPoolExecutor(2)):\n    assert list(pool.map(abs, range(-3, 0))) == [3, 2, 1]",
    "a pool of processes": "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as pool:\n    assert pool.map(abs, range(-3, 0)) == [3, 2, 1]; pool.close(); pool.join()",
    "a manager": "import multiprocessing as m\nwith m.get_context('fork').Manager() as manager:\n    names = manager.dict(a=1); assert names.copy() == {'a': 1}",
    "a pipe": "import multiprocessing as m\na, b = m.Pipe(); a.send(1); assert b.recv() == 1",
    "a child": f"import subprocess\nassert subprocess.run([{INTERPRETER!r}, '-c', 'print(input())'], input='1', capture_output=True, text=True).stdout == '1\\n'",
    "signals": "import signal\nseen = []\nsignal.signal(signal.SIGALRM, lambda *_: seen.append(1))\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\nsignal.pause(); assert seen",
    "files": "import glob, os, shutil, tempfile\nwith tempfile.TemporaryDirectory() as a:\n    open(f'{a}/x', 'w').write('1'); os.mkfifo(f'{a}/p'); os.mkdir(f'{a}/d'); shutil.copy2(f'{a}/x', f'{a}/d/y')\n    os.symlink('x', f'{a}/l'); os.utime(f'{a}/x'); os.chmod(f'{a}/x', 0o600); assert len(glob.glob(f'{a}/*')) == 4",
    "a server": "import os, socket\nserver = socket.socket(socket.AF_UNIX); server.bind('/tmp/s'); server.listen()\nif os.fork() == 0:\n    socket.socket(socket.AF_UNIX).connect('/tmp/s'); os._exit(0)\nserver.accept(); os.wait()",
    "selectors": "import os, selectors\na, b = os.pipe()\nfor kind in (selectors.EpollSelector, selectors.PollSelector, selectors.SelectSelector):\n    with kind() as each: each.register(b, selectors.EVENT_WRITE); assert each.select(1)",
    "sqlite": "import sqlite3\ndb = sqlite3.connect('/tmp/db'); db.execute('create table t(a)'); db.commit(); db.execute('insert into t values (1)'); db.commit()",
    "priority": "import os\nos.nice(1); os.sched_setaffinity(0, os.sched_getaffinity(0)); os.umask(0o77); os.getloadavg",
}


def other_calls() -> str:
    """A program that prints the system calls that are neither allowed nor refused."""
    column = seccomp.ARCHITECTURES[os.uname().machine][0]
    partly = (seccomp.CLONE, seccomp.SOCKET, seccomp.SOCKETPAIR, seccomp.SETSOCKOPT, seccomp.PRCTL, seccomp.IOCTL,
              seccomp.SIGNAL, seccomp.SIGNAL_THREAD, seccomp.LIMITS)  # fmt: skip
    unfiltered = {335, 336}  # uretprobe and uprobe of x86_64: the kernel ends any other caller than itself
    refused = sorted({*range(600)} - unfiltered - {*seccomp.allowed(column)} - {numbers[column] for numbers in partly})
    return (
        f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nfor number in {refused}:\n"
        "    if libc.syscall(number, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != 38: print('ESCAPED', number)\n"
        "for flag in (0x20000, 0x10000000, 0x40000000):\n"
        f"    if libc.syscall({seccomp.CLONE[column]}, flag | 17, 0, 0, 0, 0) != -1: print('ESCAPED clone', flag)\n"
        "for request in (0x5412, 0x8912):\n"  # a character typed into a terminal, the list of networks
        f"    if libc.syscall({seccomp.IOCTL[column]}, 1, request, 0) != -1 or ctypes.get_errno() != 25:\n"
        "        print('ESCAPED ioctl', request)\n"
        "print('end')"
    )
