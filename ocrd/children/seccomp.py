"""Seccomp: which system calls a child may still make, enforced by the kernel.

The filter is the kernel's own small language (`Documentation/userspace-api/seccomp_filter.rst`),
set by `prctl`.  The bindings of libseccomp on the package index have had no release for years,
and need a system library as well; all that is needed here is one list.

The list names the calls that are refused, not those that are allowed: numerical libraries, decoders
and the C library make other calls with every release.  Calls that are newer than the list are
refused as unknown, so that a newer kernel opens nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterator

from ocrd.oserrors import last_refusal

_PR_GET_SECCOMP, _PR_SET_SECCOMP, _FILTER = 21, 22, 2

# Why, then name and number on x86_64 and aarch64 ("-": that machine has no such call).
_REFUSED = """
sockets: socket 41 198, socketpair 53 199
memory beyond RLIMIT_AS: memfd_create 319 279, shmget 29 194, msgget 68 186, semget 64 190
queues: mq_open 240 180
other processes: ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, kcmp 312 272
other processes: tkill 200 130, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240
other processes: setpriority 141 140, ioprio_set 251 30, sched_setscheduler 144 119
other processes: sched_setparam 142 118, sched_setattr 314 274, setsid 112 157, setpgid 109 154
doors into the kernel: bpf 321 280, perf_event_open 298 241, userfaultfd 323 282
doors into the kernel: add_key 248 217, request_key 249 218, keyctl 250 219, personality 135 92
doors into the kernel: lookup_dcookie 212 18, modify_ldt 154 -, iopl 172 -, ioperm 173 -
namespaces and mounts: unshare 272 97, setns 308 268, mount 165 40, umount2 166 39
namespaces and mounts: pivot_root 155 41, chroot 161 51, quotactl 179 60
facts of files that Landlock leaves open: chmod 90 -, fchmod 91 52, fchmodat 268 53, chown 92 -
facts of files that Landlock leaves open: lchown 94 -, fchown 93 55, fchownat 260 54
facts of files that Landlock leaves open: utime 132 -, utimes 235 -, futimesat 261 -
facts of files that Landlock leaves open: utimensat 280 88, setxattr 188 5, lsetxattr 189 6
facts of files that Landlock leaves open: fsetxattr 190 7, removexattr 197 14, lremovexattr 198 15
facts of files that Landlock leaves open: fremovexattr 199 16, mknod 133 -, mknodat 259 33
links, which would lead out of a bundle: symlink 88 -, symlinkat 266 36, link 86 -, linkat 265 37
watching and opening past paths: inotify_init 253 -, inotify_init1 294 26, fanotify_init 300 262
watching and opening past paths: name_to_handle_at 303 264, open_by_handle_at 304 265
the machine: kexec_load 246 104, kexec_file_load 320 294, init_module 175 105, reboot 169 142
the machine: finit_module 313 273, delete_module 176 106, swapon 167 224, swapoff 168 225
the machine: acct 163 89, syslog 103 116, sethostname 170 161, setdomainname 171 162
the machine: settimeofday 164 170, clock_settime 227 112, adjtimex 159 171, clock_adjtime 305 266
"""
_PROGRAMS = "fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, kill 62 129, tgkill 234 131"
_CLONE, _PRLIMIT = "clone 56 220", "prlimit64 302 261"

# From here on the numbers are the same on every machine.  Known and harmless: close_range, openat2,
# faccessat2, epoll_pwait2, Landlock (which only takes away), waiting, memory policy, mseal.
_COMMON = 424
_HARMLESS = (436, 437, 439, 441, 444, 445, 446, 449, 450, 453, 454, 455, 456, 462)

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH
_X32 = 0x40000000  # a second set of numbers on x86_64, for programs nobody has
_CLONE_THREAD = 0x00010000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _MACHINE, _FIRST = 0, 4, 16  # offsets in the data that the filter is given
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_REFUSE, _UNKNOWN = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS

_libc = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def available() -> bool:
    """Whether this kernel can filter system calls, and this machine's call numbers are known."""
    known = platform.machine() in _MACHINES and sys.maxsize > 1 << 32
    return known and _libc.prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) >= 0


def confine() -> None:
    """Give up, for good, every system call on the list or newer than it.

    The caller must have set PR_SET_NO_NEW_PRIVS.  Threads can still be started.

    Raises:
        OSError: The kernel refused.
    """
    if not available():
        return
    code = b"".join(struct.pack("=HBBI", *step) for step in _steps())
    program = _Program(len(code) // 8, code)
    if _libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0) != 0:
        raise last_refusal("seccomp")


def _steps() -> Iterator[tuple[int, int, int, int]]:
    """The filter: operation, steps to skip if true, if false, operand."""
    column, machine = _MACHINES[platform.machine()]
    yield _LOAD, 0, 0, _MACHINE
    yield _EQUAL, 1, 0, machine
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    yield from _newer_calls()
    refused = [number for line in _REFUSED.split("\n") for number in _numbers(line, column)]
    *starting, tgkill = _numbers(_PROGRAMS, column)
    refused += starting
    yield from _only(tgkill, (os.getpid(),))  # `abort` and `raise`
    for number in refused:
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _REFUSE
    (clone,), (prlimit,) = _numbers(_CLONE, column), _numbers(_PRLIMIT, column)
    yield from _only(prlimit, (0, os.getpid()))
    yield _EQUAL, 0, 3, clone
    yield _LOAD, 0, 0, _FIRST
    yield _ANY_BIT, 1, 0, _CLONE_THREAD
    yield _RETURN, 0, 0, _REFUSE
    yield _RETURN, 0, 0, _ALLOW


def _newer_calls() -> Iterator[tuple[int, int, int, int]]:
    """Of the calls with common numbers, allow only harmless ones; clone3 then becomes clone."""
    yield _AT_LEAST, 0, 2 * len(_HARMLESS) + 1, _COMMON
    for number in _HARMLESS:
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _UNKNOWN  # x32's as well


def _only(number: int, first: tuple[int, ...]) -> Iterator[tuple[int, int, int, int]]:
    """Allow a call only with one of these first arguments: a process may name only itself."""
    yield _EQUAL, 0, 2 * len(first) + 2, number
    yield _LOAD, 0, 0, _FIRST
    for value in first:
        yield _EQUAL, 0, 1, value
        yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _REFUSE


def _numbers(line: str, column: int) -> list[int]:
    """The numbers of the calls in a line, on this machine."""
    calls = (call.split() for call in line.rpartition(": ")[2].split(",") if call)
    return [int(call[1 + column]) for call in calls if call[1 + column] != "-"]
