"""Which engine reads the pages: the configured one, or the best that this machine can run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ocrd.config import Config, Settings
from ocrd.engine.base import Engine
from ocrd.errors import ConfigError
from ocrd.events import Events

if TYPE_CHECKING:
    from ocrd.engine.resident import VllmSettings


def gpu_present() -> bool:
    """Whether a GPU that vLLM can use shows itself: NVIDIA's or AMD's device nodes."""
    return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def chosen_kind(settings: Settings) -> str:
    """`engine.kind`, with `auto` decided: vLLM where it is installed and a GPU is there."""
    if settings.engine.kind != "auto":
        return settings.engine.kind
    installed = importlib.util.find_spec("vllm") is not None
    return "vllm" if installed and gpu_present() else "rapidocr"


def cores() -> int:
    """Processors this process may run on."""
    return len(os.sched_getaffinity(0))


def build_engine(settings: Settings, events: Events | None = None) -> Engine:
    """The engine, not started yet; heavy imports happen at its start."""
    if chosen_kind(settings) == "vllm":
        return _vllm(settings, events)
    from ocrd.engine.rapid import RapidEngine

    given = settings.engine
    return RapidEngine(
        workers=given.workers or None,
        threads=given.threads or None,
        page_s=given.page_timeout_s,
    )


def _vllm(settings: Settings, events: Events | None) -> Engine:
    from ocrd.engine.resident import VllmEngine

    return VllmEngine(vllm_settings(settings), events=events)


def vllm_settings(settings: Settings) -> VllmSettings:
    """What the resident engine is told."""
    from ocrd.engine.resident import VllmSettings

    given = settings.engine
    return VllmSettings(
        model=given.model,
        dtype=given.dtype,
        max_model_len=given.max_model_len,
        gpu_memory_utilization=given.gpu_memory_utilization,
        max_pages_in_flight=given.max_pages_in_flight,
        renderer_workers=given.renderer_workers,
        max_num_seqs=given.max_num_seqs,
        max_num_batched_tokens=given.max_num_batched_tokens,
        devices=given.devices if given.devices == "all" else tuple(given.devices),
        page_timeout_s=given.page_timeout_s,
        load_format=given.load_format,
        options=given.options,
        sampling=given.sampling,
    )


def check_modes(config: Config, engine: Engine) -> dict[str, str]:
    """Refuse folders whose mode the engine cannot do.

    Returns:
        Implicit folders (nobody wrote them down) that cannot be served, with the reason.

    Raises:
        ConfigError: A configured folder asks for a mode that the engine has not.
    """
    unserved = {}
    for folder in config.folders:
        reason = engine.unsupported(folder.mode)
        if reason and folder.implicit:
            unserved[folder.name] = reason
        elif reason:
            raise ConfigError(
                f"{config.file}: folder {folder.name!r}: mode {folder.mode.name!r} cannot be "
                f"served by the engine {engine.kind!r}",
                hint=reason,
            )
    return unserved
