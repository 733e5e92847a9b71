"""Replaces a file with something that is not a regular file."""

import os
from pathlib import Path


def link(path: Path) -> None:
    """A symbolic link to the file, which is renamed to `kept`."""
    path.rename(path.with_name("kept"))
    path.symlink_to("kept")


def pipe(path: Path) -> None:
    """A named pipe that nobody writes to."""
    path.unlink()
    os.mkfifo(path)
