"""The resident vLLM engine: loaded once, serves every folder, comes back when it dies.

`settings` is what may be set; `preflight` finds what is wrong before vLLM is even imported, and
`devices` on which cards engines run, where `sharing` lets two compute at once; `process` starts and
ends vLLM, `pages` prepares what it gets, `client` speaks with it, `trial` tries it out;
`supervisor` keeps one alive, by `faults`; `engine` spreads pages over several.
"""

from ocrd.engine.resident.engine import VllmEngine
from ocrd.engine.resident.settings import VllmSettings

__all__ = ["VllmEngine", "VllmSettings"]
