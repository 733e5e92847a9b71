"""Which engine reads the pages: the configured one, or the best that this machine can run."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from ocrd.config import Config, Folder, Settings, folders, load
from ocrd.engine.base import Engine
from ocrd.errors import ConfigError, EngineSetupError
from ocrd.events import Events
from ocrd.languages import languages
from ocrd.modes import RESOLUTIONS, Resolution

if TYPE_CHECKING:
    from ocrd.engine.rapid import RapidEngine
    from ocrd.engine.resident import VllmSettings

BARCODES = "zxingcpp"  # an optional library, for folders where barcodes separate documents

EMBEDDED = ("rapidocr", "tesseract")  # engines on this machine's processors

FIXED = (  # the keys that are read only at the start
    "root",
    "engine",
    "watch.max_file_mib",
    "watch.rescan_s",
    "ledger",
    "pages",
    "jobs",
    "log",
    "metrics",
    "notify",
)


def gpu_present() -> bool:
    """Whether there is a GPU for vLLM: a device node of NVIDIA, of AMD, or of either under WSL."""
    return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def chosen_kind(settings: Settings) -> str:
    """`engine.kind`, with `auto` decided: vLLM where it is installed and a GPU is there."""
    if settings.engine.kind != "auto":
        return settings.engine.kind
    installed = importlib.util.find_spec("vllm") is not None
    return "vllm" if installed and gpu_present() else "rapidocr"


def cores() -> int:
    """The number of processors that this process may run on."""
    return len(os.sched_getaffinity(0))


def build_engine(config: Config, events: Events | None = None) -> Engine:
    """The engine, not started yet; heavy imports happen at its start."""
    kind = chosen_kind(config.settings)
    if kind in EMBEDDED:
        return _embedded(config, kind)
    if kind == "server":
        return _servers(config, events)
    from ocrd.engine.mixed import MixedEngine
    from ocrd.engine.resident import VllmEngine

    local = VllmEngine(vllm_settings(config), events=events)
    if not config.settings.engine.servers:
        return local
    return MixedEngine(local, _servers(config, events), events=events)


def _embedded(config: Config, kind: str) -> RapidEngine:
    from ocrd.engine.rapid import RapidEngine

    given = config.settings.engine
    return RapidEngine(
        kind=kind,
        workers=given.workers or None,
        threads=given.threads or None,
        page_s=given.page_timeout_s,
    )


def _servers(config: Config, events: Events | None) -> Engine:
    if (error := _no_client()) is not None:
        raise error
    from ocrd.engine.remote.engine import ServerEngine

    return ServerEngine(vllm_settings(config), events=events)


def missing_packages(config: Config) -> EngineSetupError | None:
    """Why the configured engine cannot run with the packages installed; None if it can."""
    kind = chosen_kind(config.settings)
    if kind in EMBEDDED:
        return _embedded(config, kind).missing()
    asks_servers = kind == "server" or bool(config.settings.engine.servers)
    if asks_servers and (error := _no_client()) is not None:
        return error
    if kind == "vllm":
        from ocrd.engine.resident.preflight import installed

        try:
            installed()
        except EngineSetupError as error:
            return error
    return None


def _no_client() -> EngineSetupError | None:
    if importlib.util.find_spec("aiohttp") is not None:
        return None
    return EngineSetupError(
        "engine.servers are to be asked, but aiohttp is not installed.",
        hint="pip install 'ocrd-daemon[server]'",
        kind="packages-missing",
    )


def asked_resolutions(config: Config) -> tuple[Resolution, ...]:
    """The resolutions that pages may need: those listed, and those of all folders."""
    given = config.settings.engine
    listed = [RESOLUTIONS[name] for name in given.resolutions]
    asked = [*listed, *(folder.resolution for folder in config.folders)]
    return tuple(dict.fromkeys(asked)) or (RESOLUTIONS["gundam"],)


def vllm_settings(config: Config) -> VllmSettings:
    """The settings of the resident engine and the servers: `[engine]`, and what folders need."""
    from ocrd.engine.resident import VllmSettings

    given = dict(config.settings.engine) | {"resolutions": asked_resolutions(config)}
    return VllmSettings(**given)


def check_modes(config: Config, engine: Engine) -> dict[str, str]:
    """Refuse folders whose mode, resolution, language or barcodes cannot be served.

    An implicit folder that appeared after the engine's start is served at a resolution that there
    is room for.

    Returns:
        Implicit folders (nobody configured them) that cannot be served, with the reason.

    Raises:
        ConfigError: A configured folder needs what the engine, or this machine, lacks.
    """
    check_barcodes(config)
    check_languages(config)
    unserved = {}
    for folder in config.folders:
        reason = engine.unsupported(folder.mode)
        if reason and folder.implicit:
            unserved[folder.name] = reason
        elif reason:
            what = f"mode {folder.mode.name!r} cannot be served by the engine {engine.kind!r}"
            raise _refused(config, folder, what, reason)
        problem = engine.unsupported_resolution(folder.resolution)
        if problem and not folder.implicit:
            what = f"resolution {folder.resolution.name!r} cannot be had from the engine"
            raise _refused(config, folder, f"{what} {engine.kind!r}", problem)
    return unserved


def _refused(config: Config, folder: Folder, what: str, hint: str) -> ConfigError:
    return ConfigError(f"{config.file}: folder {folder.name!r}: {what}", hint=hint)


def check_languages(config: Config) -> None:
    """Refuse folders with a language for which the embedded engine lacks a model.

    Raises:
        ConfigError: Names the packages to install.
    """
    kind = chosen_kind(config.settings)
    if kind not in EMBEDDED:
        return
    from ocrd.engine.rapid.engine import for_tesseract
    from ocrd.engine.tesseract import packs

    for folder in config.folders:
        needed = languages(for_tesseract(folder.language, kind))
        if (lacking := packs.missing(needed)) is not None:
            raise _refused(config, folder, lacking.message, lacking.hint)


def check_barcodes(config: Config, *, library: str = BARCODES) -> None:
    """Refuse folders that separate documents by barcodes, if the library for them is missing.

    Raises:
        ConfigError: The library is not installed.
    """
    waiting = [folder for folder in config.folders if folder.separator == "barcode"]
    if waiting and importlib.util.find_spec(library) is None:
        what = 'separator = "barcode" needs zxing-cpp, which is not installed'
        hint = "pip install 'ocrd-daemon[barcode]' in the environment that ocrd runs in."
        raise _refused(config, waiting[0], what, hint)


def reloaded(config: Config, engine: Engine, *, fresh_file: bool) -> Config:
    """The configuration to continue with.

    Args:
        config: The configuration in force.
        engine: The engine, which must be able to serve what a new file asks for.
        fresh_file: Read the file anew; otherwise only look for new and vanished implicit folders.

    Raises:
        ConfigError: The new configuration is wrong, or changes what only a restart can change.
    """
    if not fresh_file:
        return replace(config, folders=folders(config.settings))
    new = load(config.file)
    for key in FIXED:
        if attrgetter(key)(new.settings) != attrgetter(key)(config.settings):
            raise ConfigError(
                f"{config.file}: {key}: cannot be changed while running",
                hint="Restart instead: systemctl restart ocrd.",
            )
    check_modes(new, engine)
    return new
