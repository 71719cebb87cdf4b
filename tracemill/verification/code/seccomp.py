"""The system calls that the sandbox refuses: one seccomp filter, in classic BPF.

Namespaces and limits do not stop every attack. A program could use memory that no limit counts, or reach other
processes of its user. It could create a namespace with all rights inside. It could use parts of the kernel that are
rarely needed and often broken. Sources of the numbers and the format: linux,
Documentation/userspace-api/seccomp_filter.rst, arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h.
"""

import errno
import platform
import socket
import struct

#: the column of the tables below, and the kernel's number of the architecture (linux: include/uapi/linux/audit.h)
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

REFUSED = {
    # memory outside the limits
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "io_uring_setup": (425, 425),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "userfaultfd": (323, 282),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "perf_event_open": (298, 241),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # the kernel itself
    "bpf": (321, 280),
    "syslog": (103, 116),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
}
CLONE, CLONE3, SOCKET, PRCTL = (56, 220), (435, 435), (41, 198), (157, 167)
SIGNAL, SIGNAL_THREAD, LIMITS = (62, 129), (234, 131), (302, 261)  # kill, tgkill, prlimit64
FIRST_CHILD = 4  # before it come bubblewrap, the tests and the program: a program ends neither its judge nor itself
NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, …CGROUP, …UTS, …IPC, …USER, …PID, …NET
PR_SET_DUMPABLE = 4  # the memory of a process that is not dumpable cannot be monitored
X32 = 0x40000000  # flag of the second set of system call numbers on x86_64

Line = tuple[int, int, int, int]  # code, lines to skip if true, if false, constant

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW: Line = (_RETURN, 0, 0, 0x7FFF0000)
_KILL: Line = (_RETURN, 0, 0, 0x80000000)
_NUMBER, _ARCHITECTURE, _ARGUMENT = ((_LOAD, 0, 0, offset) for offset in (0, 4, 16))


def filter_program() -> bytes:
    """Return the filter for this architecture, in the format of `bwrap --seccomp`."""
    column, architecture = ARCHITECTURES[platform.machine()]

    def call(numbers: tuple[int, int], *actions: Line) -> list[Line]:
        return [(_EQUAL, 0, len(actions), numbers[column]), *actions]

    def only(constant: int, actions: Line) -> list[Line]:
        return [(_EQUAL, 0, 1, constant), actions]

    lines = [_ARCHITECTURE, (_EQUAL, 1, 0, architecture), _KILL, _NUMBER, (_AT_LEAST, 0, 1, X32), _KILL]
    for numbers in REFUSED.values():
        lines += call(numbers, _refuse(errno.EPERM))
    # A filter cannot read the flags of clone3. Libraries use clone if clone3 does not exist.
    lines += call(CLONE3, _refuse(errno.ENOSYS))
    lines += call(CLONE, _ARGUMENT, (_ANY_BIT, 0, 1, NEW_NAMESPACES), _refuse(errno.EPERM), _ALLOW)
    lines += call(PRCTL, _ARGUMENT, *only(PR_SET_DUMPABLE, _refuse(errno.EPERM)), _ALLOW)
    for numbers in (SIGNAL, SIGNAL_THREAD):  # a process id below FIRST_CHILD or, as an unsigned number, a negative one
        refused = _refuse(errno.EPERM)
        lines += call(
            numbers, _ARGUMENT, (_AT_LEAST, 0, 2, FIRST_CHILD), (_AT_LEAST, 1, 0, 0x80000000), _ALLOW, refused
        )
    lines += call(LIMITS, _ARGUMENT, *only(0, _ALLOW), _refuse(errno.EPERM))
    # Namespaces do not isolate some families: vsock reaches the host of a virtual machine. Data that wait in a
    # connection of the loopback network are memory that no limit counts.
    lines += call(SOCKET, _ARGUMENT, *only(socket.AF_UNIX, _ALLOW), _refuse(errno.EAFNOSUPPORT))
    return b"".join(struct.pack("<HBBI", *line) for line in [*lines, _ALLOW])


def _refuse(error: int) -> Line:
    return (_RETURN, 0, 0, 0x00050000 | error)
