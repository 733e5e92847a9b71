"""What may be set of the vLLM engine, and how that becomes vLLM's own arguments."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from ocrd.engine.base import PageRequest
from ocrd.engine.deepseek.ngram import request_args
from ocrd.engine.deepseek.tiling import MAX_CROPS
from ocrd.engine.profiles import ModelProfile
from ocrd.errors import EngineSetupError
from ocrd.modes import RESOLUTIONS, Resolution

GUARD = "ocrd.engine.deepseek.guard:NgramGuard"
MOST_OTHERS = 1 << 16  # no job has so many pages in the engine
MOST_RENDERERS = 8  # more threads than this only fight for the interpreter

ANY_RESOLUTION = (*RESOLUTIONS.values(), replace(RESOLUTIONS["gundam"], max_crops=MAX_CROPS))

JOINED = "logits_processors"  # the one option that adds to ours instead of replacing it


@dataclass(frozen=True, kw_only=True, slots=True)
class VllmSettings:
    """Settings of the engine.

    Attributes:
        model: A folder, or a name on the Hugging Face hub.
        dtype: Of the weights.
        max_model_len: Tokens of one page, prompt and answer together.
        gpu_memory_utilization: Share of each card's memory that the engine takes.
        max_pages_in_flight: Pages at once on each device, those that wait for their turn included.
        renderer_workers: Threads that prepare images; 0: as many as cores, at most 8.
        max_num_seqs: Pages that generate at once on each device.
        max_num_batched_tokens: Tokens in one step of the model.
        devices: GPU numbers, `"all"`, or None for one engine on whatever vLLM chooses.  On a CPU
            build of vLLM the numbers mean nothing: as many engines run in one machine.
        page_timeout_s: A page that takes longer, its wait in the engine included, is given up.
        load_format: Of the weights; `dummy` for random ones.
        max_crops: No page is cut into more tiles than this.
        resolutions: What pages may ask for: the engine keeps memory for the costliest, and one
            that asks for more is seen as nearly so as that allows.
        resolution: Every page is seen so, whatever its folder says; None to obey the folder.
        seed: Of vLLM.
        options: Further arguments of vLLM's `AsyncEngineArgs`, by name; they win over ours.
        sampling: Further arguments of vLLM's `SamplingParams`, by name; they win over ours.
    """

    model: str
    dtype: str = "auto"
    max_model_len: int = 8192
    gpu_memory_utilization: float = 0.9
    max_pages_in_flight: int = 512
    renderer_workers: int = 0
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 16384
    devices: tuple[int, ...] | Literal["all"] | None = "all"
    page_timeout_s: float = 600.0
    load_format: str = "auto"
    max_crops: int = MAX_CROPS
    resolutions: tuple[Resolution, ...] = ANY_RESOLUTION
    resolution: str | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    sampling: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def renderers(self) -> int:
        """Threads that prepare images, 0 resolved."""
        return self.renderer_workers or max(1, min(MOST_RENDERERS, os.cpu_count() or 1))

    @property
    def at_once(self) -> int:
        """Pages that generate at once on each device; others in flight wait for them."""
        return min(self.max_num_seqs, self.max_pages_in_flight)

    def seen(self, resolution: Resolution) -> Resolution:
        """The resolution that a page gets: the folder's, within what memory allows."""
        if self.resolution is not None:
            return RESOLUTIONS[self.resolution]
        if resolution.max_crops <= self.max_crops:
            return resolution
        return replace(resolution, max_crops=self.max_crops)

    @property
    def most_crops(self) -> int:
        """The most tiles that a page may be cut into; 0 if none is."""
        return max(self.seen(resolution).max_crops for resolution in self.resolutions)


def room(settings: VllmSettings, profile: ModelProfile) -> list[Resolution]:
    """The resolutions for which an engine with these settings keeps memory."""
    return [profile.seen(settings.seen(resolution)) for resolution in settings.resolutions]


def view(settings: VllmSettings, profile: ModelProfile, resolution: Resolution) -> Resolution:
    """How a page that asks for a resolution is seen: as the model can, within the memory kept."""
    asked = profile.seen(settings.seen(resolution))
    return profile.vision.within(asked, room(settings, profile))


def engine_arguments(
    settings: VllmSettings, profile: ModelProfile, device: int | None
) -> dict[str, Any]:
    """Keyword arguments for vLLM's `AsyncEngineArgs`.

    Prefix caching and the processor's cache are off: no two pages share either, and only without
    them may several threads prepare images.
    """
    arguments: dict[str, Any] = {
        "model": settings.model,
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "max_num_seqs": settings.at_once,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "load_format": settings.load_format,
        "seed": settings.seed,
        "enable_prefix_caching": False,
        "mm_processor_cache_gb": 0,
        "renderer_num_workers": settings.renderers,
        "limit_mm_per_prompt": {"image": 1},
        "mm_processor_kwargs": profile.vision.room(room(settings, profile)),
        "scheduling_policy": "priority",
        "disable_log_stats": True,
    }
    if device is not None:
        arguments["device_ids"] = [device]
    arguments |= settings.options
    ours = [GUARD] if profile.guarded else []
    arguments[JOINED] = ours + list(settings.options.get(JOINED, ()))
    return arguments


def check_names(section: str, given: Mapping[str, Any], known: Collection[str]) -> None:
    """See that every name is one that this version of vLLM knows.

    Raises:
        EngineSetupError: One is not; the nearest that is, is named.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "Remove it."
            raise EngineSetupError(
                f"engine.{section} has {name!r}, which this version of vLLM does not know.",
                hint=f"{hint} Names are those of vLLM's engine arguments."
                if section == "options"
                else f"{hint} Names are those of vLLM's SamplingParams.",
                kind="unknown-option",
            )


def sampling(
    request: PageRequest,
    profile: ModelProfile,
    settings: VllmSettings,
    *,
    room: int,
    never_banned: Collection[int] = (),
) -> dict[str, Any]:
    """Keyword arguments for `SamplingParams`; the settings' own win, within what fits.

    Args:
        request: Its mode says how long the answer may be, and how loops are stopped.
        profile: The model's family.
        settings: Of the engine.
        room: Tokens that the context leaves for the answer.
        never_banned: Token ids that the guard lets repeat.
    """
    chosen: dict[str, Any] = {
        "temperature": 0.0,
        "max_tokens": min(request.mode.max_tokens, profile.max_tokens),
        "skip_special_tokens": False,
        "stop": list(profile.stop) or None,
        **profile.sampling,
        **settings.sampling,
    }
    chosen["max_tokens"] = min(chosen["max_tokens"], room)
    chosen["min_tokens"] = min(chosen.get("min_tokens", 0), chosen["max_tokens"])
    chosen["detokenize"] = bool(chosen["stop"])
    guard = request_args(request.mode.guard, never_banned) if profile.guarded else None
    if guard is not None:
        chosen["extra_args"] = {**chosen.get("extra_args", {}), **guard}
    return chosen


def vllm_priority(request: PageRequest) -> int:
    """The priority by which pages wait in vLLM: the smallest goes first, then the oldest."""
    return request.others - MOST_OTHERS * request.priority
