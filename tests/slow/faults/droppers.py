"""Writers that put files into an inbox as people, scanners and programs do.

Each is called as `drop(ground, items)` and returns what it left there, for the auditor.  They write
for real: with system calls, rsync, an SMB client.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from tests.slow.faults.evidence import Dropped
from tests.slow.faults.samba import Samba
from tests.support.needs import need

_CHUNK = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A file to drop.

    Attributes:
        source: Path below the inbox.
        content: The bytes.
        pages: Number of its pages; None if it cannot be read.
    """

    source: str
    content: bytes
    pages: int | None = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """Where to drop, and how fast.

    Attributes:
        folder: The folder's name.
        inbox: Its inbox.
        staging: A folder on the same file system that ocrd does not watch.
        pause: Seconds between the steps of a writer that takes its time; less than settling takes.
        sleep: Waits for some seconds.
    """

    folder: str
    inbox: Path
    staging: Path
    pause: float = 0.0
    sleep: Callable[[float], None] = time.sleep

    def target(self, item: Item) -> Path:
        """The item's path in the inbox; missing folders above it are created."""
        path = self.inbox / item.source
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def wait(self) -> None:
        """Pause once."""
        self.sleep(self.pause)

    def left(self, item: Item) -> Dropped:
        """The record of an item that was left in the inbox whole."""
        return Dropped(
            folder=self.folder,
            source=item.source,
            sha256=hashlib.sha256(item.content).hexdigest(),
            pages=item.pages,
        )


class Dropper(Protocol):
    """A way to drop files."""

    def __call__(self, ground: Ground, items: Sequence[Item]) -> list[Dropped]:
        """Drop the items; returns what is in the inbox now."""


def copy(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """Like `cp`: straight to the final name, in pieces."""
    for item in items:
        with ground.target(item).open("wb") as file:
            for chunk in _pieces(item.content, 4):
                file.write(chunk)
                file.flush()
                ground.wait()
    return [ground.left(item) for item in items]


def rename_in(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """Written elsewhere and renamed in, as careful programs do: the rename is the only event."""
    for item in items:
        with _staged(ground, item) as staged:
            staged.rename(ground.target(item))
        ground.wait()
    return [ground.left(item) for item in items]


def hard_link(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """Hard-linked into the inbox; the file keeps its other name elsewhere."""
    for item in items:
        with _staged(ground, item) as staged:
            os.link(staged, ground.target(item))
            staged.rename(staged.with_name(f"kept-{time.monotonic_ns()}"))
        ground.wait()
    return [ground.left(item) for item in items]


def page_by_page(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """A scanner: appends a page, closes the file, pulls in the next sheet, opens it again."""
    for item in items:
        target = ground.target(item)
        for page in _pieces(item.content, 4):
            with target.open("ab") as file:
                file.write(page)
            ground.wait()
    return [ground.left(item) for item in items]


def placeholder_first(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """An empty file is created under the name; its contents come later."""
    for item in items:
        ground.target(item).touch()
    ground.wait()
    for item in items:
        ground.target(item).write_bytes(item.content)
    return [ground.left(item) for item in items]


def over_and_over(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """A device with one file name for all its scans: each replaces the one before it."""
    name = items[0].source
    dropped = []
    for item in items:
        same = replace(item, source=name)
        with _staged(ground, same) as staged:
            staged.replace(ground.target(same))
        dropped.append(replace(ground.left(same), replaceable=True))
        ground.wait()
    dropped[-1] = replace(dropped[-1], replaceable=False)
    return dropped


def rewritten(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """One file, truncated and rewritten in place again and again; only the last is a document.

    The writer must be faster than settling: otherwise any of the versions may be picked up.
    """
    name = items[0].source
    for item in items:
        copy(replace(ground, pause=0.0), [replace(item, source=name)])
        ground.wait()
    dropped = [replace(ground.left(item), source=name, replaceable=True) for item in items]
    dropped[-1] = replace(dropped[-1], replaceable=False)
    return dropped


def folder_moved_in(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """A whole folder, filled elsewhere and moved in by one rename."""
    name = f"moved-{hashlib.sha256(items[0].content).hexdigest()[:12]}"
    inner = [replace(item, source=f"{name}/{item.source}") for item in items]
    with tempfile.TemporaryDirectory(dir=ground.staging) as folder:
        staged = replace(ground, inbox=Path(folder))
        for item in inner:
            staged.target(item).write_bytes(item.content)
        (Path(folder) / name).rename(ground.inbox / name)
    return [ground.left(item) for item in inner]


def rsync(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """`rsync -a`: writes a hidden temporary file, sets its times and renames it at the end."""
    need("rsync")
    with tempfile.TemporaryDirectory(dir=ground.staging) as folder:
        staged = replace(ground, inbox=Path(folder))
        for item in items:
            staged.target(item).write_bytes(item.content)
        command = ["rsync", "--archive", f"{folder}/", f"{ground.inbox}/"]
        subprocess.run(command, check=True, capture_output=True)
    return [ground.left(item) for item in items]


def killed_upload(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
    """A program is killed while it writes; half a file stays and is a file like any other."""
    dropped = []
    for item in items:
        half = replace(item, content=item.content[: len(item.content) // 2], pages=None)
        target = ground.target(half)
        child = os.fork()
        if child == 0:
            try:
                with target.open("wb", buffering=0) as file:
                    for chunk in _pieces(half.content, 2):
                        file.write(chunk)
                        ground.wait()
                    os.kill(os.getpid(), signal.SIGKILL)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != -signal.SIGKILL:
            raise RuntimeError(f"the upload ended with {status} instead of being killed")
        dropped.append(ground.left(half))
    return dropped


def through(samba: Samba) -> Dropper:
    """A dropper that uploads with an SMB client to a real server that shares the inbox."""

    def upload(ground: Ground, items: Sequence[Item]) -> list[Dropped]:
        for item in items:
            with _staged(ground, item) as staged:
                samba.put(staged, item.source)
            ground.wait()
        return [ground.left(item) for item in items]

    return upload


WHOLE: dict[str, Dropper] = {
    "copy": copy,
    "rename in": rename_in,
    "hard link": hard_link,
    "page by page": page_by_page,
    "placeholder first": placeholder_first,
    "folder moved in": folder_moved_in,
    "rsync": rsync,
}
"""Ways that leave every item in the inbox whole, under its own name."""

ODD: dict[str, Dropper] = {
    "over and over": over_and_over,
    "rewritten": rewritten,
    "killed upload": killed_upload,
}
"""Ways that replace what they wrote, or never finish it."""


def _pieces(content: bytes, at_most: int) -> Iterator[bytes]:
    """The content in at most `at_most` pieces, none of them empty."""
    size = max(_CHUNK, -(-len(content) // at_most))
    for start in range(0, len(content), size):
        yield content[start : start + size]


@contextmanager
def _staged(ground: Ground, item: Item) -> Iterator[Path]:
    """The item, written to the staging folder on the same file system."""
    folder = tempfile.mkdtemp(dir=ground.staging)
    staged = Path(folder, "staged")
    try:
        staged.write_bytes(item.content)
        yield staged
    finally:
        if not any(path.name.startswith("kept-") for path in Path(folder).iterdir()):
            shutil.rmtree(folder)
