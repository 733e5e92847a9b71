"""How to find and read the configuration file.  Imports nothing heavy."""

from __future__ import annotations

import codecs
import errno
import os
import stat
from pathlib import Path

DEFAULT = Path("/etc/ocrd/config.toml")
MOST = 4 << 20  # bytes


def find(given: Path | None) -> Path:
    """The configuration file: `--config`, then `$OCRD_CONFIG`, then `/etc/ocrd/config.toml`."""
    return given or Path(os.environ.get("OCRD_CONFIG") or DEFAULT)


def read(file: Path) -> bytes:
    """The contents of a regular file of up to `MOST` bytes, without a byte order mark.

    Links are followed.  A pipe or a device is refused, because it could block the reader or fill
    its memory.

    Raises:
        OSError: From the kernel; EINVAL if it is not a regular file, EFBIG if it is larger.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer.
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as small:
        if not stat.S_ISREG(os.fstat(small.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no file but a pipe or a device", str(file))
        content = small.read(MOST + 1)
    if len(content) > MOST:
        raise OSError(errno.EFBIG, f"larger than {MOST >> 20} MiB", str(file))
    return content.removeprefix(codecs.BOM_UTF8)
