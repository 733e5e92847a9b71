"""The embedded engine: RapidOCR on the CPU, in resident child processes.

`engine` is the daemon's side, `child` the child process's.  There `reader` examines the pixels
(`ink`, `crops`, `quads`) and makes `lines` of them, and `layout` makes a page of the lines' pieces:
columns, tables and rules (`ocrd.layout`), `stacks`, `paragraphs` and headings.
"""

from ocrd.engine.rapid.engine import RapidEngine

__all__ = ["RapidEngine"]
