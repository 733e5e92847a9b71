"""Which GPUs there are, asked of the driver."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

QUERY = ("nvidia-smi", "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits")


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card: its number, as vLLM counts, its name, and its memory in MiB."""

    number: int
    name: str
    memory_mib: int


def gpus(ask: tuple[str, ...] = QUERY, device: Path = Path("/dev/nvidiactl")) -> list[Gpu] | None:
    """The cards that we may use, or None if the driver's tool is missing but its device is there.

    Numbers are positions in `CUDA_VISIBLE_DEVICES` where that is set, as vLLM takes them.
    """
    try:
        answer = subprocess.run(  # noqa: S603 - a fixed command, no shell
            ask, capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except FileNotFoundError:
        return None if device.exists() else []
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired, OSError):
        return []
    return visible(parse(answer), os.environ.get("CUDA_VISIBLE_DEVICES"))


def parse(answer: str) -> list[Gpu]:
    """`0, NVIDIA H100 80GB HBM3, 81559` a line."""
    cards = []
    for line in answer.splitlines():
        number, _, rest = line.partition(",")
        name, _, memory = rest.rpartition(",")
        if number.strip().isdigit() and memory.strip().isdigit():
            cards.append(Gpu(int(number), name.strip(), int(memory)))
    return cards


def visible(cards: list[Gpu], chosen: str | None) -> list[Gpu]:
    """Those that `CUDA_VISIBLE_DEVICES` lets through, renumbered; names by UUID cannot be told."""
    if not chosen:
        return cards
    numbers = [part.strip() for part in chosen.split(",")]
    if not all(number.isdigit() for number in numbers):
        return cards[: len(numbers)]
    by_number = {card.number: card for card in cards}
    kept = [by_number[int(number)] for number in numbers if int(number) in by_number]
    return [Gpu(place, card.name, card.memory_mib) for place, card in enumerate(kept)]
