"""To be imported before all else by a process whose imports are never garbage: none is looked for.

Whoever has imported all calls `gc.freeze()` and `gc.enable()`.
"""

import gc

gc.disable()
