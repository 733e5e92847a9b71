"""Errors of the kernel as errors with a remedy, from one table.

A full disk or a share that is gone is a condition of a place: whatever needs the place waits, and
no attempt is spent.  A busy file is tried again; a missing file means that the source has changed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

from ocrd.errors import (
    BadFileError,
    MemoryShortError,
    OcrdError,
    PlaceError,
    SourceChangedError,
)
from ocrd.names import display


class _Verdict(NamedTuple):
    kind: str
    what: str
    hint: str
    codes: tuple[int, ...]
    error: type[OcrdError] = PlaceError


_TABLE = (
    _Verdict(
        "disk-full",
        "no space is left",
        "Free some space there or enlarge the volume (`df -h` and `df -i` show which is full); "
        "work goes on by itself.",
        (errno.ENOSPC,),
    ),
    _Verdict(
        "disk-full",
        "the disk quota is used up",
        "Free some space or raise the quota of the daemon's user; work goes on by itself.",
        (errno.EDQUOT,),
    ),
    _Verdict(
        "read-only",
        "the file system is read-only",
        "Mount it writable again (see `dmesg` for why it is not); under systemd the path must also "
        "be in ReadWritePaths=.",
        (errno.EROFS,),
    ),
    _Verdict(
        "no-permission",
        "permission denied",
        "",  # `_opened` gives the command
        (errno.EACCES, errno.EPERM),
    ),
    _Verdict(
        "share-gone",
        "the share does not answer",
        "Check the server and the network, or mount the share again; work goes on by itself.",
        (
            errno.ESTALE,
            errno.ENOTCONN,
            errno.ECONNABORTED,
            errno.ECONNRESET,
            errno.EHOSTDOWN,
            errno.EHOSTUNREACH,
            errno.ENETDOWN,
            errno.ENETUNREACH,
            errno.ETIMEDOUT,
            errno.ENODEV,
            errno.ENXIO,
            errno.ESHUTDOWN,
            errno.ECONNREFUSED,
            errno.ENETRESET,
            errno.ENOLINK,
            errno.ECOMM,
            errno.EPROTO,
            errno.EPIPE,
            errno.ENOLCK,
        ),
    ),
    _Verdict(
        "io-error",
        "the disk or the share reports an input/output error",
        "Look into `dmesg`: a dying disk or a lost connection.  Work goes on when it answers "
        "again.",
        (errno.EIO, errno.EREMOTEIO, errno.EUCLEAN, errno.EBADMSG, errno.ENOMEDIUM),
    ),
    _Verdict(
        "locked",
        "the encrypted folder, or the ticket for the share, is not unlocked",
        "Unlock it for the daemon's user (fscrypt unlock, kinit); work goes on by itself.",
        (errno.ENOKEY, errno.EKEYEXPIRED, errno.EKEYREVOKED, errno.EKEYREJECTED),
    ),
    _Verdict(
        "file-size",
        "a file may not be so large there",
        "FAT takes files of up to 4 GiB: `ocrd cancel` the job, or give the folder an outbox and "
        "an archive on another file system.  The service's own limit is LimitFSIZE=, and no result "
        "is larger than 16 GiB.",
        (errno.EFBIG,),
    ),
    _Verdict(
        "folder-full",
        "the folder holds as many sub-folders as its file system can count",
        "Move some of them elsewhere; work goes on by itself.",
        (errno.EMLINK,),
    ),
    _Verdict(
        "blocked",
        "a file or a link stands where a folder is needed",
        "Move or rename it; work goes on by itself.",
        (errno.ENOTDIR, errno.EISDIR),
    ),
    _Verdict(
        "invalid-name",
        "the file system takes no such name",
        "FAT, exFAT and Windows shares refuse some characters: `ocrd cancel` the job, rename the "
        "file and drop it again, or give the folder an outbox and an archive on another file "
        "system.",
        (errno.EINVAL, errno.EILSEQ),
    ),
    _Verdict(
        "busy",
        "it is in use elsewhere",
        "Nothing to do: it is tried again.  If it stays, close the program that has it open.",
        (errno.EBUSY, errno.ETXTBSY, errno.EAGAIN, errno.EINTR),
        OcrdError,
    ),
    _Verdict(
        "descriptors",
        "too many files are open",
        "Work goes on by itself.  If it stays, raise LimitNOFILE= of the service.",
        (errno.EMFILE, errno.ENFILE),
    ),
    _Verdict(
        "source-changed",
        "it is not there any more, or no longer what it was",
        "Nothing to do if it was taken away on purpose; else drop it into the inbox again.",
        (errno.ENOENT, errno.ELOOP),
        SourceChangedError,
    ),
    _Verdict(
        "name-too-long",
        "the name is longer than the file system takes",
        "Shorten the name and drop the file again.",
        (errno.ENAMETOOLONG,),
        BadFileError,
    ),
    _Verdict(
        "memory-short",
        "there is too little memory",
        "Give the machine (or the service: MemoryMax=) more memory, or let fewer pages be worked "
        "on at once: `workers` under [pages].  It is tried again by itself.",
        (errno.ENOMEM,),
        MemoryShortError,
    ),
)
_VERDICTS = {code: verdict for verdict in _TABLE for code in verdict.codes}
_UNKNOWN = _Verdict(
    "os-error",
    "the system refused it",
    "It is tried again; `errno CODE` (package moreutils) or errno(3) tells what the code means.",
    (),
    OcrdError,
)


def os_error(error: OSError, path: Path) -> OcrdError:
    """The error to raise for an `OSError` from the kernel.

    Args:
        error: The kernel's error.  Of two names in it the second, the target, is reported; of a
            permission error the path that has to be opened.
        path: The path being worked on, for errors without a name.
    """
    verdict = _verdict(error)
    names = [_named(error.filename), _named(error.filename2), path]
    place = names[1] or names[0] or path
    what, hint = verdict.what, verdict.hint
    if verdict.kind == "no-permission":
        named = list(filter(None, names))
        closed = next(filter(None, map(_closed, named)), None)
        if closed is None and error.errno == errno.EPERM:  # the file itself is protected
            place = next(filter(os.path.lexists, named), place)
        place = closed or place
        what, hint = f"{what} ({_owned(place)})", _opened(place)
        if closed is None and error.errno == errno.EPERM:
            hint = _released(place) + hint
    code = errno.errorcode.get(error.errno or 0, str(error))
    told = verdict.error(f"{display(place)}: {what} ({code})", hint=hint, kind=verdict.kind)
    if isinstance(told, PlaceError):
        told.path = place
    return told


def of_a_place(error: OSError) -> bool:
    """Whether the disk or the share is at fault, and not the file that was read from it."""
    return _verdict(error).error is PlaceError


def _verdict(error: OSError) -> _Verdict:
    verdict = _VERDICTS.get(error.errno or 0, _UNKNOWN)
    if verdict.kind == "invalid-name" and error.filename is None:  # the call was given no name
        return _UNKNOWN
    return verdict


def memory_short() -> OcrdError:
    """The error for a `MemoryError` in a process that sets itself no limit."""
    short = _VERDICTS[errno.ENOMEM]
    return short.error(f"ocrd: {short.what}", hint=short.hint, kind=short.kind)


def _named(name: object) -> Path | None:
    """A name in an `OSError` as a path; None for a descriptor's number."""
    return Path(os.fsdecode(name)) if name and isinstance(name, (str, bytes, os.PathLike)) else None


def _closed(named: Path) -> Path | None:
    """The folder that contains the path, if we may not change its entries; otherwise None."""
    folder = named.parent
    with contextlib.suppress(OSError):
        return folder if not os.access(folder, os.W_OK | os.X_OK) and folder.is_dir() else None
    return None


def _released(place: Path) -> str:
    """The command for what permissions alone do not open: a sticky folder, an immutable file."""
    import shlex

    folder = place.parent
    with contextlib.suppress(OSError):
        if folder.stat().st_mode & stat.S_ISVTX:
            return (
                f"The sticky bit leaves it to its owner: sudo chmod -t "
                f"{shlex.quote(display(folder))}.  Otherwise: "
            )
    both = f"{shlex.quote(display(place))} {shlex.quote(display(folder))}"
    return f"Where `lsattr -d {both}` shows i or a: sudo chattr -i -a {both}.  Otherwise: "


def _owned(place: Path) -> str:
    """Owner, group and mode of a path, for the operator who has to change them."""
    from ocrd.owners import owned

    try:
        found = os.stat(place, follow_symlinks=False)  # noqa: PTH116 -- as everywhere here
    except OSError:
        return "it cannot even be looked at"
    return owned(found)


def _opened(place: Path) -> str:
    """The command that gives the daemon access to a path."""
    import shlex

    from ocrd.owners import user_name

    is_folder = os.path.isdir(place)  # noqa: PTH112 - Path.is_dir raises where nothing may be seen
    rights = "rwX" if is_folder else "rw"
    me, named = os.geteuid(), shlex.quote(display(place))
    with contextlib.suppress(OSError):
        if me and place.stat().st_uid == me:  # an ACL entry for the owner has no effect
            return f"sudo chmod -R u+{rights} {named}; work goes on by itself."
    return (
        f"sudo setfacl -R -m u:{user_name(me)}:{rights} {named} "
        "(or chown it to the daemon's user); work goes on by itself."
    )


def last_refusal(call: str = "") -> OSError:
    """The error of the last C library call made through ctypes, as an `OSError`."""
    import ctypes  # slow to load, and not needed by `ocrd status`

    code = ctypes.get_errno()
    return OSError(code, f"{call}: {os.strerror(code)}" if call else os.strerror(code))


class blaming:  # noqa: N801 - used like a function; a generator costs several times as much
    """Turn every `OSError` raised inside into an error with a remedy.

    `FileExistsError` passes unchanged: if a name is taken, the caller chooses another.

    Args:
        path: The path being worked on.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, FileExistsError):
            raise os_error(error, self._path) from error
