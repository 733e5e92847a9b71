"""Memory that many threads use in turn, and that goes back.

glibc's malloc gives each thread an arena of its own, up to eight for each core, and what is freed
in one serves no other (https://man7.org/linux/man-pages/man3/mallopt.3.html).  A daemon whose
threads come and go thus grows for days, by fragments, though nothing in it does.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

MOST_ARENAS = 2

_M_ARENA_MAX = -8  # <malloc.h>


def share_arenas() -> None:
    """Let all threads of this process share `MOST_ARENAS`.  Children keep their own way.

    Nothing happens where the operator has said how many (`MALLOC_ARENA_MAX`), or where the C
    library is none that has arenas.  Threads that run already keep the arenas that they have.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, MOST_ARENAS)
