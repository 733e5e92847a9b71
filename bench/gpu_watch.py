"""What goes on beside the pages: how busy each card is, what planning costs, who uses the CPU."""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from bench.common import cpu_s, family

SAMPLE_S = 0.1


def nvml_module() -> Any:
    """nvidia-ml-py, or the copy that vLLM brings."""
    for name in ("pynvml", "vllm.third_party.pynvml"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None


class Cards:
    """Samples NVML's share of the time in which a kernel ran, from a thread.

    Attributes:
        names: Of the cards; none where NVML is not.
    """

    def __init__(self, numbers: list[int]) -> None:
        self.names: list[str] = []
        self.memory_mib = 0
        self._samples: list[tuple[float, float]] = []
        nvml = nvml_module()
        with contextlib.suppress(Exception):  # no driver: a CPU
            nvml.nvmlInit()
            self._nvml = nvml
            self._handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in numbers]
            self.memory_mib = nvml.nvmlDeviceGetMemoryInfo(self._handles[0]).total >> 20
            self.names = [str(nvml.nvmlDeviceGetName(handle)) for handle in self._handles]
            threading.Thread(target=self._run, daemon=True).start()

    def busy(self, began: float, ended: float) -> float | None:
        """Mean share between two moments, all cards alike."""
        found = [share for moment, share in self._samples if began <= moment <= ended]
        return fmean(found) if found else None

    def _run(self) -> None:
        while True:
            with contextlib.suppress(Exception):  # NVML may be busy for a moment
                rates = [self._nvml.nvmlDeviceGetUtilizationRates(one).gpu for one in self._handles]
                self._samples.append((time.time(), fmean(rates) / 100))
            time.sleep(SAMPLE_S)


@dataclass(frozen=True)
class Steps:
    """What the engines' stop watches say of a while; see `gpu_steps`.

    Attributes:
        plan_ms: Median planning of a step.
        per_s: Steps a second, of each engine.
        taking: Share of the steps in which pages began.
        taken: Pages that began in such a step.
        running: Pages being read.
    """

    plan_ms: float
    per_s: float
    taking: float
    taken: float
    running: float

    @classmethod
    def read(cls, folder: Path, began: float, ended: float) -> Steps | None:
        """Of the engines that write into a folder; None if there was no step."""
        engines = list(folder.glob("[0-9]*"))
        rows = [
            [float(word) for word in line.split()]
            for engine in engines
            for line in engine.read_text().splitlines()
            if line.count(" ") == 3
        ]
        found = [row for row in rows if began <= row[0] <= ended and row[3]]
        if not found or ended <= began:
            return None
        taking = [row[2] for row in found if row[2]]
        return cls(
            plan_ms=median(row[1] for row in found),
            per_s=len(found) / (ended - began) / len(engines),
            taking=len(taking) / len(found),
            taken=fmean(taking) if taking else 0.0,
            running=fmean(row[3] for row in found),
        )


def cpu_by_process(pid: int) -> dict[str, float]:
    """Seconds of CPU that a daemon, its engines and its page workers have used."""
    spent = {"daemon": 0.0, "engines": 0.0, "pages": 0.0}
    for one in family(pid):
        with contextlib.suppress(OSError):
            title = (
                Path(f"/proc/{one}/cmdline").read_bytes() + Path(f"/proc/{one}/comm").read_bytes()
            )
            engine = b"EngineCore" in title
            spent["daemon" if one == pid else "engines" if engine else "pages"] += cpu_s(one)
    return spent
