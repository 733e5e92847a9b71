"""File names: which to leave alone, how to show them, how to make new ones from them.  Pure.

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
"""What follows the last dot is taken for an extension up to this many bytes, the dot included."""

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
    "Icon\uf00d",  # … as it names it on a share, where no name may have a line's end
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

    Whatever is not printable becomes a backslash escape: control characters and with them terminal
    sequences, line and paragraph separators, marks that turn the writing direction, spaces that
    are not a plain space.  A byte that is not UTF-8 becomes `\xNN`; other characters beyond ASCII
    become `\uNNNN`.  Different names are shown differently.
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
    if 0xDC80 <= code <= 0xDCFF:  # a raw byte, as `os.fsdecode` smuggles it
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def ignored(name: str, extra: Sequence[str] = ()) -> bool:
    """Whether a file or folder of this name is nobody's document.

    Args:
        name: One path component.
        extra: Further globs (`*.xmp`); `*`, `?` and `[…]` as in the shell, case does not matter.
    """
    return _matcher((*LEFT_ALONE, *extra))(name) is not None


def claimed(token: str) -> str:
    """An original that is a job's already but still lies in its inbox, to be copied."""
    return f".ocrd-{token}.claim"


def claimed_by(name: str) -> str | None:
    """The token of the job whose original bears this hidden name while it is copied out of here.

    Another file system's inbox loses its file only after the copy is safe; see `ocrd.spool.take`.
    """
    found = _CLAIMED.fullmatch(name)
    return found[1] if found else None


def is_draft(name: str) -> bool:
    """Whether `ocrd submit` gave a file this hidden name, until it had its own."""
    return _DRAFT.fullmatch(name) is not None


def included(relpath: str, include: Sequence[str] = (), ignore: Sequence[str] = ()) -> bool:
    """Whether a folder's patterns let a file in.

    A pattern without a slash speaks of names: for `include` the file's own, for `ignore` that of
    the file or of any folder above it.  One with a slash speaks of the whole path below the inbox,
    and its `*` crosses slashes, too.  Case does not matter.

    Args:
        relpath: The file's path below the inbox.
        include: When not empty, a file must match one of these.
        ignore: A file that matches one of these stays out, whatever `include` says.
    """
    parts = relpath.split("/")
    if any(_matches(relpath, parts, pattern) for pattern in ignore):
        return False
    return not include or any(_matches(relpath, parts[-1:], pattern) for pattern in include)


def stem(name: str) -> str:
    """What a document made from the file `name` is called: the name without its extension.

    Only the last extension goes (`scan.tar.gz` gives `scan.tar`).  The stem is never hidden, empty
    or `..`: leading dots go, and where nothing is left it is `document`.

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
    """What `give` says of the first of NAME, NAME (2), … that raises no `FileExistsError`."""
    for number in itertools.count(1):
        with contextlib.suppress(FileExistsError):
            return give(numbered(name, number))
    raise AssertionError  # `count` never ends; the type checker cannot know


def fit(name: str, *, suffix_room: int = 0) -> str:
    """The name, shortened to what a file system takes.

    No character is cut in two, and an extension stays.

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

    Not so where it is empty or absolute, or has a `..`, `.`, empty or NUL part.
    """
    return "\0" not in path and not any(part in {"", ".", ".."} for part in path.split("/"))


def safe_relative(path: str) -> str:
    """`path`, when it stays below whatever it is joined to.

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
    """Name and extension, the dot with the latter; a name of leading dots alone has none."""
    base, dot, last = name.rpartition(".")
    if not base.strip(".") or _length(dot + last) > longest:
        return name, ""
    return base, dot + last


def cut(text: str, room: int) -> str:
    """As much of a name as fits into `room` bytes, at least one character and none cut in two."""
    text = text[: max(room, 1)]  # a character has at least one byte
    while _length(text) > room and len(text) > 1:
        text = text[:-1]
    return text


def _length(name: str) -> int:
    return len(os.fsencode(name))
