"""What an engine's last words mean.  Pure.

vLLM tells its caller only that the engine process is gone; the reason stands in that process's
log, in the words of torch, CUDA or vLLM.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ocrd.engine.resident.ladder import Shortage
from ocrd.errors import EngineSetupError

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
WRAPPER = re.compile(
    r"Engine core initialization failed|See (?:root cause|stack trace)|CoreDiedError"
)
EXCEPTION = re.compile(  # some go on for a few lines
    r"^\s*([A-Za-z_][\w.]*(?:Error|Exception)\b.*(?:\n(?!Traceback|\s*File ).+){0,3})$",
    re.MULTILINE,
)
LONGEST = 400


def shortage(words: Iterable[str]) -> Shortage | None:
    """Which memory was short, or None if none was."""
    text = "\n".join(words)
    if NO_CACHE.search(text):
        return Shortage.CACHE
    if OUT_OF_MEMORY.search(text):
        return Shortage.CARD
    return None


def reason(words: Iterable[str]) -> str:
    """The last exception that the log names, but for those that only wrap another; one line."""
    named: list[str] = EXCEPTION.findall("\n\n".join(words))
    found = [line for line in named if not WRAPPER.search(line)]
    if not found:
        return "it left no word in its log: killed from outside, or by a fault in a driver"
    last = " ".join(found[-1].split()).rstrip(".")
    return last if len(last) <= LONGEST else f"{last[: LONGEST - 3]}..."


def setup_error(words: Iterable[str], cause: BaseException) -> EngineSetupError:
    """Why an engine did not start, with the remedy for the causes that are known."""
    said = [*words, f"{type(cause).__name__}: {cause}"]
    text = "\n".join(said)
    short = shortage(said)
    if short is Shortage.CACHE:
        hint = (
            "Raise engine.gpu_memory_utilization, lower engine.max_model_len, or take a card "
            "with more memory (24 GB is plenty for DeepSeek-OCR)."
        )
        return EngineSetupError(
            "The GPU has no room for the engine's cache, even with every setting lowered.",
            hint=hint,
            kind="gpu-memory",
        )
    if short is Shortage.CARD:
        return EngineSetupError(
            "The GPU's memory does not suffice, even with every setting lowered.",
            hint="See with nvidia-smi who else uses the card; DeepSeek-OCR needs about 10 GB.",
            kind="gpu-memory",
        )
    if NO_GPU.search(text):
        return EngineSetupError(
            "vLLM finds no GPU that it can use.",
            hint="Check nvidia-smi and the driver, or set engine.kind to rapidocr.",
            kind="no-gpu",
        )
    if BAD_WEIGHTS.search(text):
        return EngineSetupError(
            f"The model's weights cannot be read: {reason(said)}.",
            hint="Download the model again; the folder needs all its *.safetensors files.",
            kind="bad-model",
        )
    return EngineSetupError(
        f"vLLM could not start the engine: {reason(said)}.",
        hint="The engine's own messages are in the log just before this one.",
        kind="engine-start",
    )
