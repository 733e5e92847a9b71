"""The embedded engine: RapidOCR on the CPU, in resident child processes.

`engine` is the daemon's side, `child` the other.  There `reader` looks at the pixels (`ink`,
`crops`, `quads`) and makes `lines` of them, and `layout` a page of their `pieces`: its columns
(`order`), its `tables`, its `paragraphs` and headings.
"""

from ocrd.engine.rapid.engine import RapidEngine

__all__ = ["RapidEngine"]
