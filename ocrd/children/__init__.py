"""Work on files of unknown origin, in child processes with limits and few rights.

Such a file may break a child but never the daemon: `ChildPool.run` ends with a value or with an
error that says what happened, in bounded time and memory.
"""

from ocrd.children.confine import Limits, missing
from ocrd.children.pool import ChildPool

__all__ = ["ChildPool", "Limits", "missing"]
