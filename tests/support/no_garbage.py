"""Turns garbage collection off while a process imports its modules, which are never garbage.

Import this module first; call `gc.freeze()` and `gc.enable()` when everything is imported.
"""

import gc

gc.disable()
