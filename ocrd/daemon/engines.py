"""Which engine reads the pages: the configured one, or the best that this machine can run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ocrd.config import Config, Settings
from ocrd.daemon import barcodes
from ocrd.engine.base import Engine
from ocrd.errors import ConfigError, EngineSetupError
from ocrd.events import Events
from ocrd.modes import RESOLUTIONS, Resolution

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


def build_engine(config: Config, events: Events | None = None) -> Engine:
    """The engine, not started yet; heavy imports happen at its start."""
    if chosen_kind(config.settings) == "vllm":
        return _vllm(config, events)
    from ocrd.engine.rapid import RapidEngine

    given = config.settings.engine
    return RapidEngine(
        workers=given.workers or None,
        threads=given.threads or None,
        page_s=given.page_timeout_s,
    )


def missing_packages(config: Config) -> EngineSetupError | None:
    """Why the engine that is asked for cannot run with what is installed, else None."""
    if chosen_kind(config.settings) != "vllm":
        from ocrd.engine.rapid import installed as rapid

        return rapid.missing()
    from ocrd.engine.resident import installed as resident

    try:
        resident.installed()
    except EngineSetupError as error:
        return error
    return None


def _vllm(config: Config, events: Events | None) -> Engine:
    from ocrd.engine.resident import VllmEngine

    return VllmEngine(vllm_settings(config), events=events)


def asked_resolutions(config: Config) -> tuple[Resolution, ...]:
    """What pages may ask for: what is listed, and what the folders have, implicit ones too."""
    given = config.settings.engine
    listed = [RESOLUTIONS[name] for name in given.resolutions]
    asked = [*listed, *(folder.resolution for folder in config.folders)]
    return tuple(dict.fromkeys(asked)) or (RESOLUTIONS["gundam"],)


def vllm_settings(config: Config) -> VllmSettings:
    """What the resident engine is told."""
    from ocrd.engine.resident import VllmSettings

    given = config.settings.engine
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
        max_crops=given.max_crops,
        resolutions=asked_resolutions(config),
        options=given.options,
        sampling=given.sampling,
    )


def check_modes(config: Config, engine: Engine) -> dict[str, str]:
    """Refuse folders whose mode or resolution the engine cannot do.

    An implicit folder that came after the engine's start is served at a resolution that there
    is room for.

    Returns:
        Implicit folders (nobody wrote them down) that cannot be served, with the reason.

    Raises:
        ConfigError: A configured folder asks for what the engine, or this machine, has not.
    """
    barcodes.check(config)
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
        unseen = engine.unseen(folder.resolution)
        if unseen and not folder.implicit:
            raise ConfigError(
                f"{config.file}: folder {folder.name!r}: resolution {folder.resolution.name!r} "
                f"cannot be had from the engine {engine.kind!r}",
                hint=unseen,
            )
    return unserved
