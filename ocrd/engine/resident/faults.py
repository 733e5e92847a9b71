"""Finds the cause of an engine's death in its log, and which settings to lower.  Pure.

vLLM tells its caller only that the engine process is gone; the reason is in that process's log, in
the words of torch, CUDA or vLLM.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ocrd.engine.resident.settings import VllmSettings
from ocrd.errors import EngineSetupError
from ocrd.modes import RESOLUTIONS

# In the order of DeepSeek-OCR's deployment guide: a smaller share of the card, fewer tiles, fewer
# concurrent pages, then a smaller view of every page.
SHARES = (0.75, 0.65, 0.6)
CROPS = (6, 4, 2)
FEWEST_PAGES = 16
LAST_RESORT = "small"
OUT_OF_MEMORY = re.compile(
    r"OutOfMemoryError|CUDA out of memory|CUDA error: out of memory|HIP out of memory"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED"
    r"|DefaultCPUAllocator: (?:can't|not enough)"
    r"|Free memory on device .* is less than desired GPU memory utilization",
    re.IGNORECASE,
)
NO_CACHE = re.compile(
    r"No available memory for the cache blocks"
    r"|KV cache is needed, which is larger than the available KV cache memory",
    re.IGNORECASE,
)
NO_GPU = re.compile(
    r"No CUDA GPUs are available|Found no NVIDIA driver|Failed to infer device type"
    r"|CUDA driver version is insufficient|no CUDA-capable device|CUDA_ERROR_NO_DEVICE",
    re.IGNORECASE,
)
BAD_WEIGHTS = re.compile(
    r"Cannot find any model weights|safetensor.*(?:invalid|incomplete|corrupt)"
    r"|Following weights were not initialized|HeaderTooLarge|MetadataIncompleteBuffer",
    re.IGNORECASE,
)
# A traceback from the code in which vLLM and torch read their compile caches.
BROKEN_CACHE = re.compile(
    r"(?:UnpicklingError|EOFError|BadZipFile|JSONDecodeError|pickle data was truncated"
    r"|unexpected EOF|invalid load key|file too short|failed finding central directory"
    r"|invalid ELF header|SyntaxError|FileNotFoundError|AssertionError)"
)
COMPILED = re.compile(
    r"torch_compile_cache|torch_aot_compile|vllm/compilation/|torchinductor|_inductor/|aot_compile"
)
WRAPPER = re.compile(
    r"Engine core initialization failed|See (?:root cause|stack trace)|EngineDiedError"
)
EXCEPTION = re.compile(  # some messages have several lines
    r"^\s*([A-Za-z_][\w.]*(?:Error|Exception)\b.*(?:\n(?!Traceback|\s*File ).+){0,3})$",
    re.MULTILINE,
)
LONGEST = 400
CAUSES = (  # of a failed start, the first match wins: pattern, message, hint, kind
    (
        NO_CACHE,
        "The GPU has no room for the engine's cache, even with every setting lowered.",
        "Raise engine.gpu_memory_utilization, lower engine.max_model_len, or take a card "
        "with more memory (24 GB is plenty for DeepSeek-OCR).",
        "gpu-memory",
    ),
    (
        OUT_OF_MEMORY,
        "The GPU's memory does not suffice, even with every setting lowered.",
        "See with nvidia-smi who else uses the card; DeepSeek-OCR needs about 10 GB.",
        "gpu-memory",
    ),
    (
        NO_GPU,
        "vLLM finds no GPU that it can use.",
        "Check nvidia-smi and the driver, or set engine.kind to rapidocr.",
        "no-gpu",
    ),
    (
        BAD_WEIGHTS,
        "The model's weights cannot be read: {reason}.",
        "Download the model again; the folder needs all its *.safetensors files.",
        "bad-model",
    ),
)


class Shortage(enum.StrEnum):
    """Which kind of memory was short."""

    CARD = "card"  # an allocation failed, or other processes use part of the card
    CACHE = "cache"  # our share of the card has no room left for one page's tokens


@dataclass(frozen=True, slots=True)
class Step:
    """The next settings to try, and the note on the change for `ocrd status`."""

    settings: VllmSettings
    note: str


def next_step(settings: VllmSettings, shortage: Shortage) -> Step | None:
    """The next lower settings, or None if they cannot be lowered further.

    A smaller share of the card only makes the cache smaller, so a shortage of cache skips that.
    """
    share = _lower(settings.gpu_memory_utilization, SHARES)
    if share is not None and shortage is Shortage.CARD:
        note = f"gpu_memory_utilization {settings.gpu_memory_utilization:g} -> {share:g}"
        return Step(settings.changed(gpu_memory_utilization=share), note)
    crops = _lower(settings.most_crops, CROPS)
    if crops is not None:
        note = f"max_crops {settings.most_crops} -> {crops}"
        return Step(settings.changed(max_crops=int(crops)), note)
    if settings.at_once > FEWEST_PAGES:  # waiting pages take no memory on the card
        fewer = max(FEWEST_PAGES, settings.at_once // 2)
        note = f"max_pages_in_flight {settings.max_pages_in_flight} -> {fewer}"
        return Step(settings.changed(max_pages_in_flight=fewer), note)
    last = RESOLUTIONS[LAST_RESORT]
    larger = any(one.tile or one.base > last.base for one in settings.resolutions)
    if settings.resolution is None and larger:
        return Step(settings.changed(resolution=LAST_RESORT), f"resolution -> {LAST_RESORT}")
    return None


def _lower(now: float, rungs: tuple[float, ...]) -> float | None:
    return next((rung for rung in rungs if rung < now), None)


def shortage(words: Iterable[str]) -> Shortage | None:
    """Which kind of memory was short according to the log, or None."""
    text = "\n".join(words)
    if NO_CACHE.search(text):
        return Shortage.CACHE
    if OUT_OF_MEMORY.search(text):
        return Shortage.CARD
    return None


def compile_cache_broken(words: Iterable[str]) -> bool:
    """Whether the engine died of a damaged compile cache from an earlier start."""
    text = "\n".join(words)
    return bool(BROKEN_CACHE.search(text) and COMPILED.search(text))


def reason(words: Iterable[str]) -> str:
    """The last exception in the log that does not merely wrap another, on one line."""
    named: list[str] = EXCEPTION.findall("\n\n".join(words))
    found = [line for line in named if not WRAPPER.search(line)]
    if not found:
        return "it left no word in its log: killed from outside, or by a fault in a driver"
    last = " ".join(found[-1].split()).rstrip(".")
    return last if len(last) <= LONGEST else f"{last[: LONGEST - 3]}..."


def setup_error(words: Iterable[str], cause: BaseException) -> EngineSetupError:
    """Why an engine did not start, with a remedy for each known cause."""
    said = [*words, f"{type(cause).__name__}: {cause}"]
    text = "\n".join(said)
    for pattern, message, hint, kind in CAUSES:
        if pattern.search(text):
            return EngineSetupError(message.format(reason=reason(said)), hint=hint, kind=kind)
    return EngineSetupError(
        f"vLLM could not start the engine: {reason(said)}.",
        hint="The engine's own messages are in the log just before this one.",
        kind="engine-start",
    )
