"""Puts a copy of a file into an inbox so that no watcher ever sees half of it."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
from pathlib import Path

from ocrd.errors import PlaceError, UsageError
from ocrd.files import display
from ocrd.inbox.marker import Marker
from ocrd.inbox.names import numbered


def submit_file(file: Path, inbox: Path, done_marker: str = "") -> Path:
    """Copy `file` into `inbox` under its own name, or the next free one; its path there.

    The copy grows under a hidden name, which the watcher leaves alone, and is then linked to its
    own: a link never overwrites.

    Args:
        file: What to copy.
        inbox: Where to.
        done_marker: How its marker is called, which is put beside it; empty for none.

    Raises:
        UsageError: `file` cannot be read or is no regular file.
        PlaceError: The inbox cannot be written.
    """
    if not file.is_file():
        raise UsageError(
            f"{display(str(file))}: no such file", hint="Name regular files that you may read."
        )
    scratch = inbox / f".ocrd-{secrets.token_hex(8)}.part"
    try:
        _copy(file, scratch)
        placed = _link(scratch, inbox, file.name)
        if done_marker:
            placed.with_name(Marker(done_marker).of(placed.name)).touch()
    except OSError as error:
        raise PlaceError(
            f"{display(str(inbox))}: cannot be written: {error.strerror}",
            hint="Check that it exists (a starting daemon makes it), that you may write there, and "
            "that the disk has room.",
        ) from None
    finally:
        scratch.unlink(missing_ok=True)
    return placed


def _copy(file: Path, scratch: Path) -> None:
    with file.open("rb") as source, scratch.open("xb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    shutil.copystat(file, scratch)
    scratch.chmod(scratch.stat().st_mode | 0o440)  # the daemon reads it as another user


def _link(scratch: Path, inbox: Path, name: str) -> Path:
    for number in itertools.count(1):
        target = inbox / (name if number == 1 else numbered(name, number))
        try:
            os.link(scratch, target)
        except FileExistsError:
            continue
        break
    return target
