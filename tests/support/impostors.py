"""What may lie where a file was, and is none."""

import os
from pathlib import Path


def link(path: Path) -> None:
    """A link to the file, which has another name now."""
    path.rename(path.with_name("kept"))
    path.symlink_to("kept")


def pipe(path: Path) -> None:
    """A pipe into which nobody writes."""
    path.unlink()
    os.mkfifo(path)
