"""Measures what happens while pages are read: how busy cards are, and what planning costs."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.common import cpu_s, family

SAMPLE_S = 0.1


def nvml_module() -> Any:
    """The module of nvidia-ml-py, or the copy in vLLM; None if there is neither."""
    for name in ("pynvml", "vllm.third_party.pynvml"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None


class Cards:
    """Samples the share of the time in which a kernel ran, as NVML reports it, in a thread.

    Attributes:
        names: The names of the cards; empty if NVML is unavailable.
    """

    def __init__(self, numbers: list[int]) -> None:
        self.names: list[str] = []
        self.memory_mib = 0
        self._samples: list[tuple[float, float]] = []
        nvml = nvml_module()
        with contextlib.suppress(Exception):  # no driver: a CPU
            nvml.nvmlInit()
            self._nvml = nvml
            seen = os.environ.get("CUDA_VISIBLE_DEVICES")  # CUDA numbers only these cards, NVML all
            known = [int(number) for number in seen.split(",")] if seen else None
            chosen = [known[number] for number in numbers] if known else numbers
            self._handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in chosen]
            self.memory_mib = nvml.nvmlDeviceGetMemoryInfo(self._handles[0]).total >> 20
            self.names = [str(nvml.nvmlDeviceGetName(handle)) for handle in self._handles]
            threading.Thread(target=self._run, daemon=True).start()

    def busy(self, began: float, ended: float) -> float | None:
        """Mean share between two moments, over all cards; None if there is no sample."""
        found = [share for moment, share in self._samples if began <= moment <= ended]
        return fmean(found) if found else None

    def _run(self) -> None:
        while True:
            with contextlib.suppress(Exception):  # NVML may be busy for a moment
                rates = [self._nvml.nvmlDeviceGetUtilizationRates(one).gpu for one in self._handles]
                self._samples.append((time.time(), fmean(rates) / 100))
            time.sleep(SAMPLE_S)


def spent(pid: int) -> dict[str, float]:
    """CPU seconds so far of a daemon (`main`), its `engines` and its confined `workers`."""
    found: dict[str, float] = defaultdict(float)
    for one in family(pid):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{one}/cmdline").read_bytes()
            name = "main" if one == pid else "workers" if b"ocrd.children" in words else "engines"
            found[name] += cpu_s(one)
    return found


def lateness(path: Path, began: float, ended: float) -> float | None:
    """99th percentile of the lateness of the daemon's event loop, ms; None without a record."""
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    found = sorted(float(late) for moment, late in rows if began <= float(moment) <= ended)
    return found[len(found) * 99 // 100] if found else None


@dataclass(frozen=True)
class Steps:
    """What the engines' stopwatches recorded between two moments; see `gpu_steps`.

    Attributes:
        plan_ms: Median time to plan a step.
        taken: Mean number of pages that began in a step, over steps in which any began.
    """

    plan_ms: float
    taken: float

    @classmethod
    def read(cls, folder: Path, began: float, ended: float) -> Steps | None:
        """The record of the engines that write into a folder; None if no step had pages."""
        rows = [
            [float(word) for word in line.split()]
            for engine in folder.glob("[0-9]*")
            for line in engine.read_text().splitlines()
            if line.count(" ") == 3
        ]
        found = [row for row in rows if began <= row[0] <= ended and row[3]]
        if not found or ended <= began:
            return None
        taking = [row[2] for row in found if row[2]]
        return cls(plan_ms=median(row[1] for row in found), taken=fmean(taking) if taking else 0.0)
