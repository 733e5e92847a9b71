"""Real mounts for tests: they need root, as a plain Debian machine gives it to its owner."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.needs import need, needs
from tests.unit.spool.world import TREES, World

needs_root = needs("root", "mounts")


@contextlib.contextmanager
def mounted(*arguments: str, at: Path) -> Iterator[Path]:
    """`mount ARGUMENTS AT`, undone at the end even if something there is still open."""
    need("mounts")
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", *arguments, str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def tmpfs(at: Path, size: str = "64m") -> contextlib.AbstractContextManager[Path]:
    """A file system in memory of a given size."""
    return mounted("-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", at=at)


def bound(at: Path) -> contextlib.AbstractContextManager[Path]:
    """A folder mounted over itself: same file system, same `st_dev`, yet renames say EXDEV."""
    at.mkdir(parents=True, exist_ok=True)
    return mounted("--bind", str(at), at=at)


@contextlib.contextmanager
def apart(world: World) -> Iterator[World]:
    """Every tree of a root is a mount of its own."""
    with contextlib.ExitStack() as stack:
        for tree in TREES:
            stack.enter_context(bound(world.tree(tree)))
        yield world


@contextlib.contextmanager
def fuse(source: Path, at: Path) -> Iterator[Path]:
    """`source` seen through bindfs: no RENAME_NOREPLACE, like most network file systems."""
    with served(source, at):
        yield at


@contextlib.contextmanager
def served(source: Path, at: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The same, with the process that serves it: kill it, and the mount answers ENOTCONN."""
    need("fuse")
    source.mkdir(parents=True, exist_ok=True)
    at.mkdir(parents=True, exist_ok=True)
    server = subprocess.Popen(["bindfs", "-f", "-o", "nonempty", str(source), str(at)])
    try:
        while not os.path.ismount(at):
            if server.poll() is not None:
                raise RuntimeError(f"bindfs ended with {server.returncode}")
            time.sleep(0.01)
        yield server
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)
        server.wait(timeout=120)


def remount(at: Path, *options: str) -> None:
    """Change a mount's options in place."""
    subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(at)], check=True)
