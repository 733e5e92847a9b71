"""What is wrong with the settings, found in a second instead of after a minute of loading."""

from __future__ import annotations

import importlib
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd.engine.profiles import PROFILES, ModelProfile, profile_for
from ocrd.engine.resident.gpus import Gpu, gpus
from ocrd.engine.resident.installed import Installed, check_plugin, installed
from ocrd.engine.resident.settings import VllmSettings
from ocrd.errors import EngineSetupError

LEAST_MEMORY_MIB = 7500  # weights of 6.2 GB, a page's cache, CUDA itself
GUIDE = "See 'Running on a GPU' in the README."


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be started.

    Attributes:
        vllm: The vLLM that is installed.
        profile: The model's family.
        config: The model's `config.json`.
        devices: One engine for each; None: wherever vLLM puts it.
        names: The devices, for people.
    """

    vllm: Installed
    profile: ModelProfile
    config: dict[str, Any]
    devices: tuple[int | None, ...]
    names: tuple[str, ...]


def plan(settings: VllmSettings, profiles: tuple[ModelProfile, ...] = PROFILES) -> Plan:
    """Look at package, model and cards; nothing heavy is imported.  Blocking.

    Raises:
        EngineSetupError: The engine cannot run as configured.
    """
    vllm = installed()
    config = model_config(settings)
    profile = profile_for(settings.model, config.get("architectures") or [], profiles)
    if profile.guarded:
        check_plugin()
    if vllm.on_cpu:
        devices, names = on_cpu(settings)
    else:
        devices, names = on_gpus(settings, gpus())
    return Plan(vllm, profile, config, devices, names)


def expected_profile(
    settings: VllmSettings, profiles: tuple[ModelProfile, ...] = PROFILES
) -> ModelProfile | None:
    """The family of a model whose files are here; None if they are not, or are none of a model.

    Reads one small file, and asks nobody.
    """
    try:
        if looks_like_path(settings.model):
            found = in_folder(Path(settings.model).expanduser(), settings.load_format)
        elif (cached := in_cache(settings.model)) is not None:
            found = cached
        else:
            return None
        config = read_config(found)
        return profile_for(settings.model, config.get("architectures") or [], profiles)
    except EngineSetupError:  # the start tells of it, with its remedy
        return None


def model_config(settings: VllmSettings) -> dict[str, Any]:
    """The model's `config.json`, from its folder, the hub's cache, or the hub.

    Raises:
        EngineSetupError: There is no such model here, or it is incomplete.
    """
    if looks_like_path(settings.model):
        found = in_folder(Path(settings.model).expanduser(), settings.load_format)
    else:
        found = on_hub(settings.model)
    return read_config(found)


def read_config(found: Path) -> dict[str, Any]:
    """A model's `config.json`.

    Raises:
        EngineSetupError: It is none.
    """
    try:
        config = json.loads(found.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineSetupError(
            f"{found} cannot be read: {error}.",
            hint="Download the model again.",
            kind="bad-model",
        ) from error
    if not isinstance(config, dict):
        raise EngineSetupError(
            f"{found} is not a model's configuration.",
            hint="Point engine.model at the folder that was downloaded from the hub.",
            kind="bad-model",
        )
    return config


def looks_like_path(model: str) -> bool:
    """Whether a model's name is a folder; hub names have one slash and no leading dot."""
    return model.startswith(("/", "./", "../", "~")) or Path(model).is_dir()


def in_folder(folder: Path, load_format: str) -> Path:
    """`config.json` of a model's folder, once the folder is seen to be whole.

    Raises:
        EngineSetupError: It is not there, or files are missing.
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


def on_hub(name: str) -> Path:
    """`config.json` of a model on the hub: cached, or fetched if the network allows.

    Raises:
        EngineSetupError: Neither.
    """
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
    """`config.json` of a model of the hub, if this user has fetched it before."""
    if importlib.util.find_spec("huggingface_hub") is None:  # vLLM brings it
        return None
    hub = importlib.import_module("huggingface_hub")
    try:
        cached = hub.try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name that the hub could have
        return None
    return Path(cached) if isinstance(cached, str) else None


def on_cpu(settings: VllmSettings) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
    """Devices of a build without GPU: one engine, or as many as are listed."""
    count = len(settings.devices) if isinstance(settings.devices, tuple) else 1
    names = ("cpu",) if count == 1 else tuple(f"cpu:{number}" for number in range(count))
    return (None,) * count, names


def on_gpus(
    settings: VllmSettings, cards: list[Gpu] | None
) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
    """Devices and their names.

    Raises:
        EngineSetupError: No card, not the ones asked for, or too small.
    """
    if cards is None:  # no way to ask: vLLM will see for itself
        chosen = settings.devices if isinstance(settings.devices, tuple) else (None,)
        return chosen, tuple("gpu" if number is None else f"gpu:{number}" for number in chosen)
    if not cards:
        raise EngineSetupError(
            "engine.kind is vllm, but there is no NVIDIA GPU that this process can use.",
            hint="Check nvidia-smi and the unit's DeviceAllow=, or set engine.kind to rapidocr. "
            + GUIDE,
            kind="no-gpu",
        )
    wanted = chosen_cards(settings, cards)
    for card in wanted:
        check_memory(card)
    single = settings.devices is None
    numbers = tuple(None if single else card.number for card in wanted)
    return numbers, tuple(f"gpu:{card.number} {card.name}" for card in wanted)


def chosen_cards(settings: VllmSettings, cards: list[Gpu]) -> list[Gpu]:
    """The cards that the settings name.

    Raises:
        EngineSetupError: One of them is not there.
    """
    if settings.devices == "all":
        return cards
    if settings.devices is None:
        return cards[:1]
    by_number = {card.number: card for card in cards}
    absent = [number for number in settings.devices if number not in by_number]
    if absent or not settings.devices:
        there = ", ".join(str(number) for number in by_number)
        raise EngineSetupError(
            f"engine.devices is {list(settings.devices)}, but the GPUs here are {there}.",
            hint='List GPUs that nvidia-smi shows, or set engine.devices to "all".',
            kind="no-gpu",
        )
    return [by_number[number] for number in settings.devices]


def check_memory(card: Gpu) -> None:
    """See that a card can hold the model at all.

    Raises:
        EngineSetupError: It cannot.
    """
    if card.memory_mib < LEAST_MEMORY_MIB:
        raise EngineSetupError(
            f"GPU {card.number} ({card.name}) has {card.memory_mib} MiB of memory; "
            f"DeepSeek-OCR needs at least {LEAST_MEMORY_MIB}.",
            hint="Leave it out of engine.devices, or set engine.kind to rapidocr.",
            kind="gpu-memory",
        )
