"""What the kernel answered, told as an error with a remedy.

A full disk or a vanished share is a condition of a place: whatever needs the place waits, and no
attempt is lost.  A busy file passes by itself.  A missing source is news about the source.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

from ocrd.errors import BadFileError, OcrdError, PlaceError, SourceChangedError


class _Verdict(NamedTuple):
    error: type[OcrdError]
    kind: str
    what: str
    hint: str


_FULL = _Verdict(
    PlaceError,
    "disk-full",
    "no space is left",
    "Free some space there or enlarge the volume (`df -h` and `df -i` show which is full); "
    "work goes on by itself.",
)
_QUOTA = _FULL._replace(
    what="the disk quota is used up",
    hint="Free some space or raise the quota of the daemon's user; work goes on by itself.",
)
_READ_ONLY = _Verdict(
    PlaceError,
    "read-only",
    "the file system is read-only",
    "Mount it writable again (see `dmesg` for why it is not); under systemd the path must also "
    "be in ReadWritePaths=.",
)
_NO_PERMISSION = _Verdict(
    PlaceError,
    "no-permission",
    "permission denied",
    "Let the daemon's user read and write there: `chown` or `setfacl` on the folder and on those "
    "above it.",
)
_SHARE_GONE = _Verdict(
    PlaceError,
    "share-gone",
    "the share does not answer",
    "Check the server and the network, or mount the share again; work goes on by itself.",
)
_IO_ERROR = _Verdict(
    PlaceError,
    "io-error",
    "the disk or the share reports an input/output error",
    "Look into `dmesg`: a dying disk or a lost connection.  Work goes on when it answers again.",
)
_BLOCKED = _Verdict(
    PlaceError,
    "blocked",
    "a file stands where a folder is needed",
    "Move or rename that file; work goes on by itself.",
)
_BUSY = _Verdict(
    OcrdError,
    "busy",
    "it is in use elsewhere",
    "Nothing to do: it is tried again.  If it stays, close the program that has it open.",
)
_DESCRIPTORS = _BUSY._replace(
    kind="descriptors",
    what="too many files are open",
    hint="It is tried again.  If it stays, raise LimitNOFILE= of the service.",
)
_CHANGED = _Verdict(
    SourceChangedError,
    "source-changed",
    "it is not there any more, or no longer what it was",
    "Nothing to do if it was taken away on purpose; else drop it into the inbox again.",
)
_LONG_NAME = _Verdict(
    BadFileError,
    "name-too-long",
    "the name is longer than the file system takes",
    "Shorten the name and drop the file again.",
)
_UNKNOWN = _Verdict(
    OcrdError,
    "os-error",
    "the system refused it",
    "It is tried again; `errno CODE` (package moreutils) or errno(3) tells what the code means.",
)

_VERDICTS: dict[int, _Verdict] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _QUOTA,
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.EIO: _IO_ERROR,
    errno.EREMOTEIO: _IO_ERROR,
    errno.EUCLEAN: _IO_ERROR,
    errno.ENOTDIR: _BLOCKED,
    errno.EISDIR: _BLOCKED,
    errno.EBUSY: _BUSY,
    errno.ETXTBSY: _BUSY,
    errno.EAGAIN: _BUSY,
    errno.EINTR: _BUSY,
    errno.EMFILE: _DESCRIPTORS,
    errno.ENFILE: _DESCRIPTORS,
    errno.ENOENT: _CHANGED,
    errno.ELOOP: _CHANGED,
    errno.ENAMETOOLONG: _LONG_NAME,
}
_VERDICTS |= dict.fromkeys(
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
    ),
    _SHARE_GONE,
)


def place_error(error: OSError, path: Path) -> OcrdError:
    """The error to raise for what the kernel answered.

    Args:
        error: Its answer; of two names in it the second, where something was to go, is told.
        path: What was being worked on, for answers without a name.
    """
    verdict = _VERDICTS.get(error.errno or 0, _UNKNOWN)
    place = error.filename2 or error.filename or path
    if not isinstance(place, (str, bytes, os.PathLike)):  # a descriptor's number
        place = path
    code = errno.errorcode.get(error.errno or 0, str(error))
    message = f"{shown(os.fsdecode(place))}: {verdict.what} ({code})"
    return verdict.error(message, hint=verdict.hint, kind=verdict.kind)


class blaming:  # noqa: N801 - used like a function; a generator costs several times as much
    """Tell what the kernel answers inside as errors with a remedy.

    `FileExistsError` passes as it is: a taken name is for the caller to choose anew.

    Args:
        path: What is being worked on.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, FileExistsError):
            raise place_error(error, self._path) from error


def shown(path: str | Path) -> str:
    """A path as one harmless line: newlines, control characters and broken UTF-8 escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(path))
