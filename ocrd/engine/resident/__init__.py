"""The resident vLLM engine: loaded once, serves every folder, comes back when it dies.

`settings` is what may be set; `preflight` finds what is wrong before vLLM is even imported;
`core` is one vLLM engine on one device; `unit` keeps one alive; `engine` spreads pages over
several.  `ladder` and `suspects` are the decisions behind it, pure.
"""

from ocrd.engine.resident.engine import VllmEngine
from ocrd.engine.resident.settings import VllmSettings

__all__ = ["VllmEngine", "VllmSettings"]
