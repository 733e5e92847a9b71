"""The settings of the vLLM engine, and how they become vLLM's own arguments."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ocrd.config.schema import EngineSettings
from ocrd.engine.base import PageRequest
from ocrd.engine.deepseek.ngram import request_args
from ocrd.engine.deepseek.tiling import MAX_CROPS
from ocrd.engine.models import ModelProfile
from ocrd.errors import PageError
from ocrd.modes import RESOLUTIONS, Resolution

VISIBLE = "CUDA_VISIBLE_DEVICES"  # environment, CUDA's own name
GUARD = "ocrd.engine.deepseek.guard:NgramGuard"
MOST_OTHERS = 1 << 16  # more pages than any job has in the engine
MOST_RENDERERS = 8  # more threads than this only compete for the interpreter
LEAST_RENDERERS = 2  # per engine: a page takes 10 ms of CPU if the card makes the views
# Besides the cache, an engine needs this much for weights, encoders, a full step and CUDA itself.
BESIDE_CACHE_MIB = 14_000
# vLLM records CUDA graphs for steps of up to 512 tokens.  A step that starts a page has more, and
# launching it without a graph takes ten times as long.
GRAPHS = (1, 2, 4, *range(8, 256, 8), *range(256, 513, 16))
GRAPH_PAGES = 3  # with more in one step the card is busy for longer than the launch takes
GRAPH_STEP = 16
LETTER = (1224, 1584)  # pixels of a letter page at the dpi of DeepSeek-OCR
WORDS = 40  # tokens of a prompt besides the image

ANY_RESOLUTION = (*RESOLUTIONS.values(), replace(RESOLUTIONS["gundam"], max_crops=MAX_CROPS))

OTHER_RESOLUTION = "Give the folder another resolution."
NO_ROOM = (
    "The engine was started without room for it: restart ocrd, which makes room for what the "
    "folders ask for, or list it in engine.resolutions beforehand."
)
JOINED = "logits_processors"  # the one option that adds to ours instead of replacing it


@dataclass(frozen=True, slots=True)
class Place:
    """Where one engine runs.

    Attributes:
        name: Shown to people.
        number: The GPU's number in vLLM's counting; None lets vLLM choose.
        gpu: Whether it is a GPU.
        sharing: How many engines run there.
        memory_mib: The card's total memory; 0 if unknown.
        uuid: The card's UUID for CUDA; empty if unknown.
    """

    name: str
    number: int | None = None
    gpu: bool = True
    sharing: int = 1
    memory_mib: int = 0
    uuid: str = ""


class VllmSettings(EngineSettings):
    """`[engine]` as the engines use it; `config.example.toml` explains the keys.

    Attributes:
        resolutions: The resolutions that pages may have: the engine reserves memory for the
            costliest, and a page that asks for more gets the nearest that this allows.
        resolution: The resolution for every page, whatever its folder says; None to obey the
            folder.
    """

    resolutions: tuple[Resolution, ...] = ANY_RESOLUTION  # type: ignore[assignment] # not names
    resolution: str | None = None

    def changed(self, **values: Any) -> VllmSettings:
        """A copy with these values changed."""
        return self.model_copy(update=values)

    @property
    def renderers(self) -> int:
        """Threads that prepare images; a setting of 0 means one per core, up to a limit."""
        return self.renderer_workers or max(1, min(MOST_RENDERERS, os.cpu_count() or 1))

    @property
    def spans_cards(self) -> bool:
        """Whether the operator's options may spread one engine over several cards."""
        return any(name == "device_ids" or name.endswith("parallel_size") for name in self.options)

    def beside(self, engines: int) -> VllmSettings:
        """The settings for each of several engines in one process, which share image threads.

        Each thread has its own tokenizer, and making it holds Python's lock for a second at the
        engine's start while pages in the other engines wait.
        """
        each = max(LEAST_RENDERERS, self.renderers // engines)
        return self if self.renderer_workers else self.changed(renderer_workers=each)

    @property
    def at_once(self) -> int:
        """Pages that generate concurrently on each engine; others in flight wait for them."""
        return min(self.max_num_seqs, self.max_pages_in_flight)

    def seen(self, resolution: Resolution) -> Resolution:
        """The resolution a page gets: `self.resolution`, or the folder's with limited tiles."""
        if self.resolution is not None:
            return RESOLUTIONS[self.resolution]
        if resolution.max_crops <= self.max_crops:
            return resolution
        return replace(resolution, max_crops=self.max_crops)

    @property
    def most_crops(self) -> int:
        """The largest number of tiles that a page may be cut into; 0 if pages are not tiled."""
        return max(self.seen(resolution).max_crops for resolution in self.resolutions)


def room(settings: VllmSettings, profile: ModelProfile) -> list[Resolution]:
    """The resolutions for which an engine with these settings reserves memory."""
    return [profile.seen(settings.seen(resolution)) for resolution in settings.resolutions]


def costs(settings: VllmSettings, profile: ModelProfile) -> dict[Resolution, int | None]:
    """Tokens of a letter page at each supported resolution in `room`; None if unknown."""
    return {
        seen: profile.image_tokens(seen, *LETTER)
        for seen in room(settings, profile)
        if profile.problem(seen) is None
    }


def view(settings: VllmSettings, profile: ModelProfile, resolution: Resolution) -> Resolution:
    """The resolution at which the model sees a page, within its abilities and reserved memory.

    Raises:
        PageError: The model does not support it.
    """
    asked = profile.seen(settings.seen(resolution))
    seen = profile.within(asked, room(settings, profile))
    if (problem := profile.problem(seen)) is not None:
        raise PageError(
            f"{profile.name} cannot see a page at resolution {seen.name!r}: {problem}.",
            hint=OTHER_RESOLUTION,
            kind="resolution",
        )
    return seen


def unsupported_resolution(
    settings: VllmSettings, profile: ModelProfile, resolution: Resolution
) -> str | None:
    """None if the model supports the resolution and has room for it; otherwise why not."""
    asked = profile.seen(settings.seen(resolution))
    problem = profile.problem(asked)
    if problem is not None:
        return f"{profile.name} cannot see pages so: {problem}."
    return None if profile.within(asked, room(settings, profile)) == asked else NO_ROOM


def seen_otherwise(asked: Resolution, seen: Resolution) -> tuple[str, ...]:
    """The note on a page that was not seen at the resolution that its folder asks for."""
    if seen == asked:
        return ()
    tiles = f" with up to {seen.max_crops} tiles of {seen.tile}" if seen.tile else ""
    return (f"seen at {seen.base}{tiles}",)


def engine_arguments(settings: VllmSettings, profile: ModelProfile, place: Place) -> dict[str, Any]:
    """Keyword arguments for vLLM's `AsyncEngineArgs`.

    Prefix caching and the processor's cache are off: no two pages would share anything in them,
    and only without them may several threads prepare images.
    """
    arguments: dict[str, Any] = {
        "model": settings.model,
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "gpu_memory_utilization": settings.gpu_memory_utilization / place.sharing,
        "max_num_seqs": settings.at_once,
        "max_num_batched_tokens": settings.max_num_batched_tokens,
        "load_format": settings.load_format,
        "seed": 0,
        "enable_prefix_caching": False,
        "mm_processor_cache_gb": 0,
        "renderer_num_workers": settings.renderers,
        "limit_mm_per_prompt": {"image": 1},
        "mm_processor_kwargs": profile.kwargs_for(room(settings, profile)),
        "scheduling_policy": "priority",
        "disable_log_stats": True,
    }
    if place.number is not None and not alone(settings, place):
        arguments["device_ids"] = [place.number]
    cache_mib = int(place.memory_mib * arguments["gpu_memory_utilization"]) - BESIDE_CACHE_MIB
    if place.sharing > 1 and cache_mib > 0:
        # vLLM would measure free memory, and count what the other engine takes as its own use.
        arguments["kv_cache_memory_bytes"] = cache_mib << 20
    arguments |= settings.options
    if place.gpu and not arguments.get("enforce_eager"):
        arguments |= with_graphs(settings, profile)
    ours = [GUARD] if profile.guarded else []
    arguments[JOINED] = ours + list(settings.options.get(JOINED, ()))
    return arguments


def alone(settings: VllmSettings, place: Place) -> dict[str, str]:
    """Environment in which an engine's process sees only the card of its place.

    Empty if the card's UUID is unknown, or the operator spreads the engine over several cards.
    """
    return {VISIBLE: place.uuid} if place.uuid and not settings.spans_cards else {}


def with_graphs(settings: VllmSettings, profile: ModelProfile) -> dict[str, Any]:
    """The operator's compilation config plus CUDA graph sizes; empty if it sets graphs itself."""
    given = settings.options.get("compilation_config", {})
    sizes = graph_sizes(settings, profile)
    if not sizes or not isinstance(given, Mapping) or any("cudagraph" in name for name in given):
        return {}
    return {"compilation_config": {**given, "cudagraph_capture_sizes": sizes}}


def graph_sizes(settings: VllmSettings, profile: ModelProfile) -> list[int]:
    """Sizes, in tokens, of the steps that are worth a CUDA graph, including vLLM's usual ones.

    Such a step has one token for each page that is being read, plus one to three pages that begin,
    at each resolution.  Empty if only the model's processor knows how many tokens a page takes.
    """
    steps = {
        settings.at_once + count * (tokens + WORDS)
        for tokens in set(costs(settings, profile).values())
        if tokens is not None
        for count in range(1, GRAPH_PAGES + 1)
    }
    if not steps:
        return []
    usual = [size for size in GRAPHS if size <= max(2 * settings.at_once, 1)]
    rounded = {-(-step // GRAPH_STEP) * GRAPH_STEP for step in steps}
    most = settings.max_num_batched_tokens
    return [size for size in sorted({*usual, settings.at_once, *rounded}) if size <= most]


def sampling(
    request: PageRequest,
    profile: ModelProfile,
    settings: VllmSettings,
    *,
    room: int,
    never_banned: Collection[int] = (),
) -> dict[str, Any]:
    """Keyword arguments for `SamplingParams`; those in the settings win, within what fits.

    The mode says how long the answer may be and how loops are stopped; `room` is the number of
    tokens that the context leaves for the answer.
    """
    chosen: dict[str, Any] = {
        "temperature": 0.0,
        "max_tokens": request.mode.max_tokens,
        "skip_special_tokens": False,
        **profile.sampling,
        **settings.sampling,
    }
    chosen["max_tokens"] = min(chosen["max_tokens"], room)
    chosen["min_tokens"] = min(chosen.get("min_tokens", 0), chosen["max_tokens"])
    chosen["detokenize"] = bool(chosen.get("stop"))
    if guard := request_args(profile.guard_of(request.mode), never_banned):
        chosen["extra_args"] = {**chosen.get("extra_args", {}), **guard}
    return chosen


def vllm_priority(request: PageRequest) -> int:
    """A page's priority in vLLM's queue: the smallest goes first, ties by age."""
    return request.others - MOST_OTHERS * request.priority
