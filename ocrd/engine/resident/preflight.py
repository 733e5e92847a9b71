"""Finds faults of package, model, cards or settings before a minute of loading.

vLLM's main names are imported here, and late: the import takes seconds and gigabytes, which only a
starting engine should pay for.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ocrd.engine.deepseek import plugin
from ocrd.engine.deepseek.plugin import NEWEST, OLDEST, Installed
from ocrd.engine.models import ModelProfile, profile_for
from ocrd.engine.resident.devices import gpus, on_cpu, on_gpus
from ocrd.engine.resident.settings import Place, VllmSettings
from ocrd.errors import EngineSetupError

# vLLM 0.31 and later would use its second model runner on a GPU, with which a single page takes a
# sixth longer and many pages take as long as before (bench/RESULTS.md).
SECOND_RUNNER = "VLLM_USE_V2_MODEL_RUNNER"
LOG_CONFIG = "VLLM_LOGGING_CONFIG_PATH"
PLUGINS = "vllm.general_plugins"
PLUGIN = "ocrd_deepseek"
RANGE = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be started: an engine in each place.  `config` is the model's `config.json`."""

    vllm: Installed
    profile: ModelProfile
    config: dict[str, Any]
    places: tuple[Place, ...]


def plan(settings: VllmSettings) -> Plan:
    """Check package, model and cards; nothing heavy is imported.  Blocking.

    Raises:
        EngineSetupError: The engine cannot run as configured.
    """
    vllm = installed()
    config = model_config(settings)
    profile = family(settings, config)
    if profile.guarded:
        check_plugin()
    return Plan(vllm, profile, config, places(settings, profile, vllm))


def places(
    settings: VllmSettings, profile: ModelProfile | None, vllm: Installed
) -> tuple[Place, ...]:
    """Where engines will run.

    Raises:
        EngineSetupError: There are no usable cards, or they are not as the settings say.
    """
    if vllm.on_cpu:
        return on_cpu(settings)
    cores = len(os.sched_getaffinity(0))
    known = profile is not None and profile.guarded
    return on_gpus(settings, gpus(), cores=cores, known=known)


def expected_profile(settings: VllmSettings) -> ModelProfile | None:
    """The family of a model whose files are on this machine; None if they are missing or unusable.

    Reads one small file, and does not use the network.
    """
    if not looks_like_path(settings.model) and in_cache(settings.model) is None:
        return None
    try:
        return family(settings, model_config(settings))
    except EngineSetupError:  # the start reports it with its remedy
        return None


def family(settings: VllmSettings, config: dict[str, Any]) -> ModelProfile:
    """The profile of the model with this `config.json`.

    Raises:
        EngineSetupError: No profile fits it.
    """
    architectures = config.get("architectures") or []
    return profile_for(settings.model, architectures, chosen=settings.profile)


def model_config(settings: VllmSettings) -> dict[str, Any]:
    """The model's `config.json`, from its folder, the hub's cache, or the hub.

    Raises:
        EngineSetupError: The model cannot be found, or it is incomplete.
    """
    if looks_like_path(settings.model):
        found = in_folder(Path(settings.model).expanduser(), settings.load_format)
    else:
        found = _on_hub(settings.model)
    try:
        config = dict(json.loads(found.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise EngineSetupError(
            f"{found} is no model's configuration: {error}.",
            hint="Download the model again, or point engine.model at the folder it was "
            "downloaded to.",
            kind="bad-model",
        ) from error
    return config


def looks_like_path(model: str) -> bool:
    """Whether a model's name is a path: it looks like one, or is an existing folder."""
    return model.startswith(("/", "./", "../", "~")) or Path(model).is_dir()


def in_folder(folder: Path, load_format: str) -> Path:
    """The path of `config.json` in a model's folder, after a check that the folder is complete.

    Raises:
        EngineSetupError: The folder does not exist, or files are missing.
    """
    if not folder.is_dir():
        raise EngineSetupError(
            f"engine.model names the folder {folder}, which does not exist.",
            hint="Correct the path, or give a name on the hub: deepseek-ai/DeepSeek-OCR.",
            kind="no-model",
        )
    wanted = [("config.json", "config.json"), ("tokenizer.json", "tokenizer.json")]
    if load_format != "dummy":
        wanted.append(("*.safetensors", "its weights (*.safetensors)"))
    missing = [said for pattern, said in wanted if not any(folder.glob(pattern))]
    if missing:
        raise EngineSetupError(
            f"The model folder {folder} lacks {', '.join(missing)}.",
            hint=f"hf download deepseek-ai/DeepSeek-OCR --local-dir {folder}",
            kind="no-model",
        )
    return folder / "config.json"


def _on_hub(name: str) -> Path:
    """The path of `config.json` of a model on the hub: cached, or fetched if possible."""
    cached = in_cache(name)
    if cached is not None:
        return cached
    try:
        hub = importlib.import_module("huggingface_hub")
        return Path(hub.hf_hub_download(name, "config.json", etag_timeout=10))
    except Exception as error:  # the hub's client raises errors of three libraries
        raise EngineSetupError(
            f"The model {name} is not in the cache of this user, and the hub does not give it: "
            f"{str(error).splitlines()[0]}",
            hint=f"Check the name, and fetch it once as the daemon's user (hf download {name}), "
            "or set engine.model to a folder.",
            kind="no-model",
        ) from error


def in_cache(name: str) -> Path | None:
    """The path of `config.json` of a model on the hub if this user has it cached, or None."""
    if importlib.util.find_spec("huggingface_hub") is None:  # vLLM brings it
        return None
    hub = importlib.import_module("huggingface_hub")
    try:
        cached = hub.try_to_load_from_cache(name, "config.json")
    except ValueError:  # not a valid name on the hub
        return None
    return Path(cached) if isinstance(cached, str) else None


def installed() -> Installed:
    """The installed vLLM, found without importing it.

    Raises:
        EngineSetupError: vLLM is not installed, or its version is out of range.
    """
    found = plugin.installed()
    if found is None:
        raise EngineSetupError(
            "engine.kind is vllm, but vLLM is not installed.",
            hint="pip install 'ocrd-daemon[vllm]', or set engine.kind to rapidocr.",
            kind="no-vllm",
        )
    if not found.supported:
        raise EngineSetupError(
            f"vLLM {found.version} is installed; this version of ocrd works with {RANGE}.",
            hint="pip install 'vllm>=0.26,<0.34'",
            kind="vllm-version",
        )
    return found


def check_plugin() -> None:
    """Check that vLLM will find this package's models in each of its processes.

    Raises:
        EngineSetupError: The plugin is not installed, or `VLLM_PLUGINS` leaves it out.
    """
    known = importlib.metadata.entry_points(group=PLUGINS, name=PLUGIN)
    allowed = os.environ.get("VLLM_PLUGINS")
    if not known:
        raise EngineSetupError(
            "vLLM cannot find ocrd's part of the model: ocrd is not installed as a package here.",
            hint="pip install 'ocrd-daemon[vllm]' into the environment that has vLLM.",
            kind="no-plugin",
        )
    if allowed is not None and PLUGIN not in allowed.split(","):
        raise EngineSetupError(
            f"VLLM_PLUGINS is {allowed!r} and keeps vLLM from loading ocrd's part of the model.",
            hint=f"Unset VLLM_PLUGINS, or add {PLUGIN} to it.",
            kind="no-plugin",
        )


@dataclass(frozen=True, slots=True)
class Vllm:
    """Names from vLLM; `Any` because type checks of ocrd run without vLLM."""

    AsyncLLM: Any
    AsyncEngineArgs: Any
    SamplingParams: Any
    FINAL_ONLY: Any
    EngineDeadError: type[Exception]


@contextlib.contextmanager
def exported(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for as long as the context lasts, then restore the old values."""
    usual = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in usual.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def import_vllm(log_config: Path) -> Vllm:
    """Import vLLM, set up to log to us and without usage statistics.  Takes seconds.

    Args:
        log_config: Path of a configuration for `logging.config.dictConfig`, read by vLLM.
    """
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # a fork of a threaded daemon hangs
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault(SECOND_RUNNER, "0")
    with exported({LOG_CONFIG: str(log_config)}):
        params = importlib.import_module("vllm.sampling_params")
        names = Vllm(
            AsyncLLM=importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM,
            AsyncEngineArgs=importlib.import_module("vllm.engine.arg_utils").AsyncEngineArgs,
            SamplingParams=params.SamplingParams,
            FINAL_ONLY=params.RequestOutputKind.FINAL_ONLY,
            EngineDeadError=importlib.import_module("vllm.v1.engine.exceptions").EngineDeadError,
        )
    # The import leaves 700,000 permanent objects.  A garbage collection that examined them would
    # hold Python's lock, and with it every page, for half a second or more.
    gc.collect()
    gc.freeze()
    return names


def check_options(settings: VllmSettings, vllm: Vllm) -> None:
    """Check that this version of vLLM knows all options that are passed through to it.

    Raises:
        EngineSetupError: A name is unknown; the hint suggests the most similar one.
    """
    arguments = {field.name for field in fields(vllm.AsyncEngineArgs)}
    params = set(vllm.SamplingParams.__struct_fields__)
    for section, given, known, names in (
        ("options", settings.options, arguments, "engine arguments"),
        ("sampling", settings.sampling, params, "SamplingParams"),
    ):
        for name in (name for name in given if name not in known):
            near = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Remove it."
            raise EngineSetupError(
                f"engine.{section} has {name!r}, which this version of vLLM does not know.",
                hint=f"{hint} Names are those of vLLM's {names}.",
                kind="unknown-option",
            )
