"""Files of unknown kind that must be small: read whole, or not at all.  Loads nothing heavy.

Whoever may put a pipe or a device in the place of such a file would else hold up the reader, or
fill its memory.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST = 4 << 20  # bytes


def read_small(file: Path) -> bytes:
    """What a regular file of up to `MOST` bytes holds; a link is followed.

    Raises:
        OSError: As the kernel answered; EINVAL for what is no file, EFBIG for one that is larger.
    """
    # Opening a pipe waits for somebody who writes into it.
    with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as small:
        if not stat.S_ISREG(os.fstat(small.fileno()).st_mode):
            raise OSError(errno.EINVAL, "no file but a pipe or a device", str(file))
        content = small.read(MOST + 1)
    if len(content) > MOST:
        raise OSError(errno.EFBIG, f"larger than {MOST >> 20} MiB", str(file))
    return content
