"""The embedded engine: RapidOCR on the CPU, in resident child processes.

`engine` is the daemon's side, `child` the other.  There `reader` looks at the pixels (with `crops`
and `recognised`), `order`, `tables`, `paragraphs` and `blocks` make a page of the pieces
found.
"""

from ocrd.engine.rapid.engine import RapidEngine

__all__ = ["RapidEngine"]
