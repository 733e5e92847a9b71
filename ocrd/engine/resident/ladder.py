"""What to give up when the GPU's memory does not suffice, one step at a time.  Pure.

The order is that of DeepSeek-OCR's deployment guide: a smaller share of the card, fewer tiles,
fewer pages at once, then a smaller view of every page.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from ocrd.engine.resident.settings import VllmSettings
from ocrd.modes import RESOLUTIONS, Resolution

SHARES = (0.75, 0.65, 0.6)
CROPS = (6, 4, 2)
FEWEST_PAGES = 16
LAST_RESORT = "small"


class Shortage(enum.StrEnum):
    """Which memory was short."""

    CARD = "card"  # an allocation failed, or others hold part of the card
    CACHE = "cache"  # our share of the card has no room left for one page's tokens


@dataclass(frozen=True, slots=True)
class Step:
    """The next settings to try, and the sentence for `ocrd status`."""

    settings: VllmSettings
    note: str


def next_step(settings: VllmSettings, shortage: Shortage) -> Step | None:
    """One rung down, or None at the bottom.

    A cache without room only gets smaller with a smaller share, so that rung is left out for it.
    """
    share = _lower(settings.gpu_memory_utilization, SHARES)
    if share is not None and shortage is Shortage.CARD:
        lower = replace(settings, gpu_memory_utilization=share)
        return Step(
            lower, f"gpu_memory_utilization {settings.gpu_memory_utilization:g} -> {share:g}"
        )
    crops = _lower(settings.most_crops, CROPS)
    if crops is not None:
        return Step(
            replace(settings, max_crops=int(crops)),
            f"max_crops {settings.most_crops} -> {crops}",
        )
    if settings.at_once > FEWEST_PAGES:  # pages that only wait take no memory of the card
        fewer = max(FEWEST_PAGES, settings.at_once // 2)
        return Step(
            replace(settings, max_pages_in_flight=fewer),
            f"max_pages_in_flight {settings.max_pages_in_flight} -> {fewer}",
        )
    if settings.resolution is None and any(map(_larger, settings.resolutions)):
        return Step(replace(settings, resolution=LAST_RESORT), f"resolution -> {LAST_RESORT}")
    return None


def _larger(resolution: Resolution) -> bool:
    """Whether the last resort takes less memory."""
    return bool(resolution.tile) or resolution.base > RESOLUTIONS[LAST_RESORT].base


def _lower(now: float, rungs: tuple[float, ...]) -> float | None:
    return next((rung for rung in rungs if rung < now), None)
