"""Landlock: what a child may touch on disk and network, enforced by the kernel.

An unprivileged process can give up rights for good.  The interface is the kernel's
`Documentation/userspace-api/landlock.rst`; glibc has no wrappers for its three system calls.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ocrd.oserrors import last_refusal

_CREATE_RULESET = 444  # the same numbers on every architecture Linux has had since 5.13
_ADD_RULE = 445
_RESTRICT_SELF = 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_ABI = (1 << 13) - 1  # everything the first version knows
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # others need a folder

_NET_TCP = 0b11  # bind and connect, since version 4
_SCOPES = 0b11  # abstract Unix sockets and signals to outsiders, since version 6

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """The kernel's Landlock version; 0 where it has none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG)))


def confine(*, readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Give up all access but to these files, and TCP altogether, if the kernel has Landlock.

    There is no way back.  The caller must have set PR_SET_NO_NEW_PRIVS.  Paths that cannot be
    opened are skipped: nothing can be reached through them either.

    Raises:
        OSError: The kernel refused.
    """
    abi = version()
    if abi == 0:
        return
    everything = _handled(abi)
    ruleset = _create(abi, everything)
    try:
        for path in readable:
            _allow(ruleset, path, _READ & everything)
        for path in writable:
            _allow(ruleset, path, everything & ~_EXECUTE & ~_IOCTL_DEV)
        _check(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _handled(abi: int) -> int:
    """All access rights to files that this version can deny."""
    handled = _FIRST_ABI
    if abi >= 2:
        handled |= _REFER
    if abi >= 3:
        handled |= _TRUNCATE
    if abi >= 5:
        handled |= _IOCTL_DEV
    return handled


def _create(abi: int, handled: int) -> int:
    ruleset = _Ruleset(handled, _NET_TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24  # older kernels know a shorter structure
    return _check(_libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0))


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _OF_FILES
        rule = _PathBeneath(rights, parent)
        _check(_libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0))
    finally:
        os.close(parent)


def _check(answer: int) -> int:
    if answer < 0:
        raise last_refusal("Landlock")
    return answer
