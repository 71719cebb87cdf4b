"""The system calls that the sandbox allows: one seccomp filter, in classic BPF.

Namespaces and limits do not stop every attack. A program could use memory that no limit counts, or reach other
processes of its user. It could create a namespace with all rights inside. It could use parts of the kernel that are
rarely needed and often broken. So a program gets the calls that Python's standard library needs, and each other call
answers ENOSYS, also a call of a later kernel. Libraries then use an older one. Sources of the numbers and the format:
linux, Documentation/userspace-api/seccomp_filter.rst, arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h.
"""

import errno
import platform
import socket
import struct
from collections.abc import Iterator

#: the column of the tables below, and the kernel's number of the architecture (linux: include/uapi/linux/audit.h)
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

# Each call with its number on x86_64 and on aarch64. Left out on purpose: memory that no limit counts (memfd, shared
# segments, message queues, io_uring, vmsplice), other processes, namespaces, mounts and modules.
_ALLOWED = (
    # files
    "read:0:63 write:1:64 open:2:- openat:257:56 openat2:437:437 creat:85:- close:3:57 close_range:436:436 "
    "lseek:8:62 pread64:17:67 pwrite64:18:68 readv:19:65 writev:20:66 preadv:295:69 pwritev:296:70 preadv2:327:286 "
    "pwritev2:328:287 stat:4:- fstat:5:80 lstat:6:- newfstatat:262:79 statx:332:291 access:21:- faccessat:269:48 "
    "faccessat2:439:439 statfs:137:43 fstatfs:138:44 getdents:78:- getdents64:217:61 readlink:89:- "
    "readlinkat:267:78 getxattr:191:8 lgetxattr:192:9 fgetxattr:193:10 listxattr:194:11 llistxattr:195:12 "
    "flistxattr:196:13 fcntl:72:25 flock:73:32 dup:32:23 dup2:33:- dup3:292:24 truncate:76:45 "
    "ftruncate:77:46 fallocate:285:47 fadvise64:221:223 fsync:74:82 fdatasync:75:83 sendfile:40:71 "
    "copy_file_range:326:285 rename:82:- renameat:264:38 renameat2:316:276 mkdir:83:- mkdirat:258:34 rmdir:84:- "
    "link:86:- linkat:265:37 unlink:87:- unlinkat:263:35 symlink:88:- symlinkat:266:36 mknod:133:- mknodat:259:33 "
    "chmod:90:- fchmod:91:52 fchmodat:268:53 chown:92:- fchown:93:55 lchown:94:- fchownat:260:54 umask:95:166 "
    "utime:132:- utimes:235:- futimesat:261:- utimensat:280:88 getcwd:79:17 chdir:80:49 fchdir:81:50 "
    # waiting
    "poll:7:- ppoll:271:73 select:23:- pselect6:270:72 epoll_create:213:- epoll_create1:291:20 epoll_ctl:233:21 "
    "epoll_wait:232:- epoll_pwait:281:22 epoll_pwait2:441:441 eventfd:284:- eventfd2:290:19 pipe:22:- pipe2:293:59 "
    # sockets
    "connect:42:203 bind:49:200 listen:50:201 accept:43:202 accept4:288:242 sendto:44:206 recvfrom:45:207 "
    "sendmsg:46:211 recvmsg:47:212 sendmmsg:307:269 recvmmsg:299:243 shutdown:48:210 getsockname:51:204 "
    "getpeername:52:205 getsockopt:55:209 "
    # memory
    "mmap:9:222 munmap:11:215 mremap:25:216 mprotect:10:226 madvise:28:233 brk:12:214 msync:26:227 mincore:27:232 "
    "membarrier:324:283 "
    # processes
    "fork:57:- vfork:58:- execve:59:221 exit:60:93 exit_group:231:94 wait4:61:260 waitid:247:95 getpid:39:172 "
    "getppid:110:173 gettid:186:178 getpgid:121:155 getpgrp:111:- setpgid:109:154 getsid:124:156 setsid:112:157 "
    "getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177 getresuid:118:148 getresgid:120:150 "
    "getgroups:115:158 setresuid:117:147 setresgid:119:149 setgroups:116:159 capget:125:90 set_tid_address:218:96 "
    "set_robust_list:273:99 rseq:334:293 arch_prctl:158:- futex:202:98 sched_yield:24:124 sched_getaffinity:204:123 "
    "sched_setaffinity:203:122 sched_getscheduler:145:120 sched_getparam:143:121 sched_get_priority_max:146:125 "
    "sched_get_priority_min:147:126 getpriority:140:141 setpriority:141:140 getrlimit:97:163 setrlimit:160:164 "
    "getrusage:98:165 times:100:153 uname:63:160 sysinfo:99:179 getcpu:309:168 getrandom:318:278 "
    # signals
    "rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigtimedwait:128:137 "
    "rt_sigsuspend:130:133 sigaltstack:131:132 pause:34:- alarm:37:- setitimer:38:103 getitimer:36:102 "
    "restart_syscall:219:128 "
    # time
    "time:201:- gettimeofday:96:169 clock_gettime:228:113 clock_getres:229:114 nanosleep:35:101 "
    "clock_nanosleep:230:115 "
)
CLONE, SOCKET, SOCKETPAIR, SETSOCKOPT, PRCTL, IOCTL = (56, 220), (41, 198), (53, 199), (54, 208), (157, 167), (16, 29)
SIGNAL, SIGNAL_THREAD, LIMITS = (62, 129), (234, 131), (302, 261)  # kill, tgkill, prlimit64
FIRST_CHILD = 4  # before it come bubblewrap, the tests and the program: a program ends neither its judge nor itself
NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, …CGROUP, …UTS, …IPC, …USER, …PID, …NET
#: options of prctl: signal at the parent's death, dumpable (read only), name, rights. The memory of a process that is
#: not dumpable cannot be monitored.
PROCESS_OPTIONS = (1, 2, 3, 15, 16, 39)
#: requests of ioctl: is it a terminal, its size, close on exec, blocking, waiting bytes, copy of a file
DEVICE_REQUESTS = (0x5401, 0x802C542A, 0x5413, 0x5450, 0x5451, 0x5421, 0x541B, 0x40049409)
SOCKET_TYPE_BITS = 0xF  # the rest are flags
X32 = 0x40000000  # flag of the second set of system call numbers on x86_64

Line = tuple[int, int, int, int]  # code, lines to skip if true, if false, constant

_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW: Line = (_RETURN, 0, 0, 0x7FFF0000)
_KILL: Line = (_RETURN, 0, 0, 0x80000000)
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND, _THIRD = ((_LOAD, 0, 0, offset) for offset in (0, 4, 16, 24, 32))


def named(column: int) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of each call that is allowed with all arguments, by an architecture's column."""
    for call in _ALLOWED.split():
        name, *numbers = call.split(":")
        if numbers[column] != "-":
            yield name, int(numbers[column])


def allowed(column: int) -> list[int]:
    """Return their numbers."""
    return [number for _, number in named(column)]


def filter_program() -> bytes:
    """Return the filter for this architecture, in the format of `bwrap --seccomp`."""
    column, architecture = ARCHITECTURES[platform.machine()]
    refused = _refuse(errno.EPERM)

    def call(numbers: tuple[int, int], *actions: Line) -> list[Line]:
        return [(_EQUAL, 0, len(actions), numbers[column]), *actions]

    def only(constants: tuple[int, ...], otherwise: Line) -> list[Line]:
        return [line for constant in constants for line in ((_EQUAL, 0, 1, constant), _ALLOW)] + [otherwise]

    lines = [_ARCHITECTURE, (_EQUAL, 1, 0, architecture), _KILL, _NUMBER, (_AT_LEAST, 0, 1, X32), _KILL]
    # A filter cannot read the flags of clone3. Libraries use clone if clone3 does not exist.
    lines += call(CLONE, _FIRST, (_ANY_BIT, 0, 1, NEW_NAMESPACES), refused, _ALLOW)
    lines += call(PRCTL, _FIRST, *only(PROCESS_OPTIONS, _refuse(errno.EINVAL)))
    lines += call(IOCTL, _SECOND, *only(DEVICE_REQUESTS, _refuse(errno.ENOTTY)))
    for numbers in (SIGNAL, SIGNAL_THREAD):  # a process id below FIRST_CHILD or, as an unsigned number, a negative one
        lines += call(numbers, _FIRST, (_AT_LEAST, 0, 2, FIRST_CHILD), (_AT_LEAST, 1, 0, 0x80000000), _ALLOW, refused)
    lines += call(LIMITS, _FIRST, *only((0,), refused))
    # Namespaces do not isolate some families: vsock reaches the host of a virtual machine. Data that wait in a socket
    # are memory that no limit of the kernel counts. The monitor counts a buffer of the default size for each Unix
    # socket. Only those of streams have one buffer at a time.
    family = _refuse(errno.EAFNOSUPPORT)
    for numbers in (SOCKET, SOCKETPAIR):
        lines += call(
            numbers, _FIRST, (_EQUAL, 1, 0, socket.AF_UNIX), family,
            _SECOND, (_AND, 0, 0, SOCKET_TYPE_BITS), *only((socket.SOCK_STREAM,), family),
        )  # fmt: skip
    lines += call(
        SETSOCKOPT, _THIRD, (_EQUAL, 1, 0, socket.SO_SNDBUF), (_EQUAL, 0, 1, 32), refused, _ALLOW
    )  # 32: SO_SNDBUFFORCE
    for number in allowed(column):
        lines += [(_EQUAL, 0, 1, number), _ALLOW]
    return b"".join(struct.pack("<HBBI", *line) for line in [*lines, _refuse(errno.ENOSYS)])


def _refuse(error: int) -> Line:
    return (_RETURN, 0, 0, 0x00050000 | error)
