"""File names: which to ignore, how to show them, how to make new ones from them.  Pure.

Names are `os.fsdecode`d: bytes that are not UTF-8 appear as lone surrogates.  "Bytes" below means
the length of `os.fsencode(name)`, which is what the file system counts.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import itertools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ocrd.errors import BadFileError

_T = TypeVar("_T")

NAME_MAX = 255
"""Bytes a name may have on ext4, XFS, Btrfs, NFS and nearly everything else."""

EXTENSION_MAX = 16
"""Longest extension that is kept when a name is numbered or shortened: bytes, with the dot."""

LEFT_ALONE = (
    ".*",  # hidden files, our own temporaries, `.~lock.*#` of LibreOffice, `.nfs…`, `.fuse_hidden…`
    "~$*",  # Microsoft Office's owner files
    "*~",  # editors' backups
    "*.tmp",
    "*.temp",
    "*.part",
    "*.partial",
    "*.filepart",  # WinSCP
    "*.crdownload",  # Chromium
    "*.download",  # Safari
    "*.swp",
    "*.lck",
    "Thumbs.db",
    "desktop.ini",
    "Icon\r",  # macOS' icon of a folder …
    "Icon\uf00d",  # … and its name on a share, where no name may have a line break
    "@eaDir",  # Synology's thumbnails
    "#recycle",  # Synology's bin
    "@Recycle",  # QNAP's bin
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
)

_CLAIMED = re.compile(r"\.ocrd-([0-9a-f]+)(?:-[0-9]+)?\.claim")
_DRAFT = re.compile(r"\.ocrd-[0-9a-f]{16}\.part")
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\"}


def display(name: str | Path) -> str:
    r"""The name (or path) as one harmless line: for logs, `STATUS=` and terminals.

    Whatever is not printable becomes a backslash escape: control characters and so terminal
    sequences, line and paragraph separators, marks that change the writing direction, and all
    spaces but the plain one.  A byte that is not UTF-8 becomes `\xNN`; other characters beyond
    ASCII become `\uNNNN`.  Different names are shown differently.
    """
    name = str(name)
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(map(_shown, name))


def _shown(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if char.isprintable():
        return char
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:  # a raw byte, as `os.fsdecode` represents it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def ignored(name: str, extra: Sequence[str] = ()) -> bool:
    """Whether a file or folder of this name is ignored as no document.

    Args:
        name: One path component.
        extra: Further globs (`*.xmp`); `*`, `?` and `[…]` as in the shell, case does not matter.
    """
    return _matcher((*LEFT_ALONE, *extra))(name) is not None


def claimed(token: str) -> str:
    """The hidden name of an original that a job has claimed and is still copying from its inbox."""
    return f".ocrd-{token}.claim"


def claimed_by(name: str) -> str | None:
    """The token of the job whose original has this hidden name; None for any other name.

    An inbox on another file system keeps its file until the copy is safe; see `ocrd.spool.take`.
    """
    found = _CLAIMED.fullmatch(name)
    return found[1] if found else None


def is_draft(name: str) -> bool:
    """Whether this is the hidden name of a file that `ocrd submit` or HTTP is still writing."""
    return _DRAFT.fullmatch(name) is not None


def included(relpath: str, include: Sequence[str] = (), ignore: Sequence[str] = ()) -> bool:
    """Whether a folder's patterns accept a file.

    A pattern without a slash is matched against names: for `include` the file's own, for `ignore`
    also those of the folders above it.  A pattern with a slash is matched against the whole path
    below the inbox, and its `*` also matches slashes.  Case does not matter.

    Args:
        relpath: The file's path below the inbox.
        include: When not empty, a file must match one of these.
        ignore: A file that matches one of these is left out, whatever `include` says.
    """
    parts = relpath.split("/")
    if any(_matches(relpath, parts, pattern) for pattern in ignore):
        return False
    return not include or any(_matches(relpath, parts[-1:], pattern) for pattern in include)


def stem(name: str) -> str:
    """The name of a document made from the file `name`: the name without its extension.

    Only the last extension is removed (`scan.tar.gz` gives `scan.tar`).  The stem is never hidden,
    empty or `..`: leading dots are removed, and if nothing is left it is `document`.

    Raises:
        BadFileError: `name` is not one path component.
    """
    if "/" in name or "\0" in name:
        raise _unsafe(name)
    bare, _ = _split(name.lstrip("."))
    return bare.strip().lstrip(".") or "document"


def numbered(name: str, n: int, *, is_dir: bool = False) -> str:
    """The `n`th choice for a name that is taken: `scan (2).pdf`, for a folder `scan (2)`.

    Args:
        name: The first choice.
        n: 1 gives the name itself.
        is_dir: A folder has no extension: the number goes to the end.
    """
    if n <= 1:
        return fit(name)
    base, extension = (name, "") if is_dir else _split(name, EXTENSION_MAX)
    tail = f" ({n}){extension}"
    return cut(base, NAME_MAX - _length(tail)) + tail


def first_free(name: str, give: Callable[[str], _T]) -> _T:
    """The result of `give` for the first of NAME, NAME (2), … that raises no `FileExistsError`."""
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            return give(numbered(name, number))
    raise AssertionError  # `count` never ends; the type checker cannot know


def fit(name: str, *, suffix_room: int = 0) -> str:
    """The name, shortened to the length that file systems allow.

    No character is split, and the extension is kept.

    Args:
        name: One path component of any length.
        suffix_room: Bytes to leave free for what the caller appends.
    """
    room = NAME_MAX - suffix_room
    if _length(name) <= room:
        return name
    base, extension = _split(name, EXTENSION_MAX)
    return cut(base, room - _length(extension)) + extension


def is_relative(path: str) -> bool:
    """Whether `path` stays below whatever it is joined to.

    False if it is empty or absolute, or contains a NUL or a part that is `..`, `.` or empty.
    """
    return "\0" not in path and not any(part in {"", ".", ".."} for part in path.split("/"))


def safe_relative(path: str) -> str:
    """`path`, if it stays below whatever it is joined to.

    Raises:
        BadFileError: It does not.
    """
    if not is_relative(path):
        raise _unsafe(path)
    return path


def _unsafe(path: str) -> BadFileError:
    return BadFileError(
        f"{display(path) or 'an empty name'} cannot be used as a name below a folder",
        hint="Use a relative path without `..`, `.`, doubled slashes or NUL.",
        kind="unsafe-name",
    )


def _matches(relpath: str, names: Sequence[str], pattern: str) -> bool:
    match = _matcher((pattern,))
    if "/" in pattern:
        return match(relpath) is not None
    return any(match(name) is not None for name in names)


@functools.lru_cache(maxsize=256)
def _matcher(globs: tuple[str, ...]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(map(fnmatch.translate, globs)), re.IGNORECASE).match


def _split(name: str, longest: int = NAME_MAX) -> tuple[str, str]:
    """Base name and extension (dot included, up to `longest` bytes); leading dots begin none."""
    base, dot, last = name.rpartition(".")
    if not base.strip(".") or _length(dot + last) > longest:
        return name, ""
    return base, dot + last


def cut(text: str, room: int) -> str:
    """As much of a name as fits into `room` bytes, at least one character and none split."""
    text = text[: max(room, 1)]  # a character has at least one byte
    while _length(text) > room and len(text) > 1:
        text = text[:-1]
    return text


def _length(name: str) -> int:
    return len(os.fsencode(name))
