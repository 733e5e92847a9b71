"""Chooses the cards on which engines run; the driver (NVML) says which there are."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from ocrd.engine.resident.settings import VISIBLE, Place, VllmSettings
from ocrd.errors import EngineSetupError

LEAST_MEMORY_MIB = 7500  # weights of 6.2 GB, a page's cache, CUDA itself
# Two engines share a card if each has room for its weights and the cache of 256 pages, and the
# machine has enough cores for their processes, the page processes and the daemon.
ROOMY_MIB = 28_000
CORES = 12
GUIDE = "See docs/gpu.md."


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card: its number in vLLM's counting, name, memory in MiB, and UUID as CUDA takes it."""

    number: int
    name: str
    memory_mib: int
    uuid: str = ""


def on_cpu(settings: VllmSettings) -> tuple[Place, ...]:
    """The places for a CPU build of vLLM: one, or as many as the settings list or ask for."""
    listed = len(settings.devices) if isinstance(settings.devices, list) else 1
    count = listed * (1 if settings.per_device == "auto" else settings.per_device)
    names = ["cpu"] if count == 1 else [f"cpu:{number}" for number in range(count)]
    return tuple(Place(name, gpu=False) for name in names)


def on_gpus(
    settings: VllmSettings, cards: list[Gpu] | None, *, cores: int, known: bool = True
) -> tuple[Place, ...]:
    """One place for each engine.

    Args:
        settings: They say which cards to use, and how many engines to run on each.
        cards: The cards of this machine; None if unknown.
        cores: CPU cores that this process may use.
        known: Whether the memory needs of the model are known.

    Raises:
        EngineSetupError: There is no card, a card that was asked for is missing, or one is too
            small.
    """
    if cards is None:  # unknown: vLLM will find them itself
        chosen = settings.devices if isinstance(settings.devices, list) else [None]
        names = ("gpu" if number is None else f"gpu:{number}" for number in chosen)
        wanted = [Place(name, number) for name, number in zip(names, chosen, strict=True)]
    elif not cards:
        raise EngineSetupError(
            "engine.kind is vllm, but there is no NVIDIA GPU that this process can use.",
            hint="Check nvidia-smi and the unit's DeviceAllow=, or set engine.kind to rapidocr. "
            + GUIDE,
            kind="no-gpu",
        )
    else:
        wanted = [_place(card) for card in _chosen(settings, cards)]
    each = settings.per_device
    if each == "auto":
        several = len({one.number for one in wanted}) < len(wanted)
        share = wanted[0].memory_mib * settings.gpu_memory_utilization / 2
        roomy = share >= ROOMY_MIB and cores // len(wanted) >= CORES
        each = 2 if known and roomy and not several and not settings.spans_cards else 1
    return _shared([one for one in wanted for _ in range(each)])


def _place(card: Gpu) -> Place:
    if card.memory_mib < LEAST_MEMORY_MIB:
        raise EngineSetupError(
            f"GPU {card.number} ({card.name}) has {card.memory_mib} MiB of memory; "
            f"DeepSeek-OCR needs at least {LEAST_MEMORY_MIB}.",
            hint="Leave it out of engine.devices, or set engine.kind to rapidocr.",
            kind="gpu-memory",
        )
    name = f"gpu:{card.number} {card.name}"
    return Place(name, card.number, memory_mib=card.memory_mib, uuid=card.uuid)


def _shared(places: list[Place]) -> tuple[Place, ...]:
    """The same places, each with the number of engines on its card and a unique name."""
    counts = Counter(one.number for one in places)
    seen: Counter[int | None] = Counter()
    named = []
    for one in places:
        seen[one.number] += 1
        count = counts[one.number]
        name = one.name if count == 1 else f"{one.name} ({seen[one.number]} of {count})"
        named.append(replace(one, name=name, sharing=count))
    return tuple(named)


def _chosen(settings: VllmSettings, cards: list[Gpu]) -> list[Gpu]:
    if settings.devices == "all":
        return cards
    by_number = {card.number: card for card in cards}
    absent = [number for number in settings.devices if number not in by_number]
    if absent or not settings.devices:
        there = ", ".join(str(number) for number in by_number)
        raise EngineSetupError(
            f"engine.devices is {settings.devices}, but the GPUs here are {there}.",
            hint='List GPUs that nvidia-smi shows, or set engine.devices to "all".',
            kind="no-gpu",
        )
    return [by_number[number] for number in settings.devices]


def gpus(device: Path = Path("/dev/nvidiactl")) -> list[Gpu] | None:
    """The cards that we may use, or None if the driver cannot be asked but its device exists.

    Numbers are positions in `CUDA_VISIBLE_DEVICES` if that is set, as in vLLM.
    """
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None if device.exists() else []
    try:
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(n) for n in range(nvml.nvmlDeviceGetCount())]
        cards = [
            Gpu(
                number,
                nvml.nvmlDeviceGetName(one),
                nvml.nvmlDeviceGetMemoryInfo(one).total >> 20,
                nvml.nvmlDeviceGetUUID(one),
            )
            for number, one in enumerate(handles)
        ]
    except nvml.NVMLError:
        return None if device.exists() else []
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()
    return visible(cards, os.environ.get(VISIBLE))


def visible(cards: list[Gpu], chosen: str | None) -> list[Gpu]:
    """The cards that `CUDA_VISIBLE_DEVICES` lists, in its order, renumbered.

    Like CUDA, it stops at the first name that is not a card's; an empty list hides all cards.
    """
    if chosen is None:
        return cards
    found = (_named(name.strip(), cards) for name in chosen.split(","))
    kept = itertools.takewhile(lambda card: card is not None, found)
    return [replace(card, number=place) for place, card in enumerate(kept) if card]


def _named(name: str, cards: list[Gpu]) -> Gpu | None:
    """The card with that number or UUID (possibly abbreviated), or None.

    NVML does not list MIG parts of a card, so only their name is known: a part is assumed to be as
    large as the first card.
    """
    for card in cards:
        if name == str(card.number) or (name and card.uuid.startswith(name)):
            return card
    return replace(cards[0], uuid=name) if cards and name.startswith("MIG-") else None
