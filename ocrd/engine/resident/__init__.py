"""The resident vLLM engine: loaded once, serves every folder, restarts when it dies.

`settings` has the settings; `preflight` finds errors before vLLM is even imported; `devices`
chooses the cards for engines, and `sharing` lets several compute concurrently on one card;
`process` starts and ends vLLM, `pages` prepares pages for it, `client` talks to it, `trial` tests
it; `supervisor` keeps one engine alive, with the help of `faults`; `engine` spreads pages over
several.
"""

from ocrd.engine.resident.engine import VllmEngine
from ocrd.engine.resident.settings import VllmSettings

__all__ = ["VllmEngine", "VllmSettings"]
