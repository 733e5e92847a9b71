"""What differs between models, as data: another model is another entry here, nothing else.

A profile is chosen by the `architectures` of a model's `config.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Protocol

from ocrd.engine.deepseek import grounding, tiling
from ocrd.errors import EngineSetupError
from ocrd.modes import BUILT_IN_MODES, PromptMode, Reader, Resolution
from ocrd.page import Block

Parser = Callable[[str, Reader, tuple[int, int]], list[Block]]

# Reads an answer: the text verbatim, how it was asked for, and what coordinates in it run to.
PARSERS: Mapping[str, Parser] = MappingProxyType({"ref-det": grounding.parse})

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Vision(Protocol):
    """How a family of models sees a page, and what that costs in tokens."""

    def processor_kwargs(self, resolution: Resolution) -> dict[str, Any]:
        """What the model's image processor must be told for one page."""

    def room(self, resolutions: Collection[Resolution]) -> dict[str, Any]:
        """What it must be told at the start, so that memory is kept for all of these."""

    def image_tokens(self, resolution: Resolution, width: int, height: int) -> int | None:
        """Tokens that a page of so many pixels takes; None if only the processor knows."""

    def problem(self, resolution: Resolution) -> str | None:
        """None if the model can see pages so; else what is wrong."""

    def within(self, resolution: Resolution, room: Collection[Resolution]) -> Resolution:
        """The resolution, or the nearest for which memory is kept that was kept for `room`."""


@dataclass(frozen=True, slots=True)
class DeepSeekVision:
    """A global view and tiles, in the geometry of one of DeepSeek's models."""

    geometry: tiling.Geometry

    def processor_kwargs(self, resolution: Resolution) -> dict[str, Any]:
        """Sides and number of tiles."""
        return dict(tiling.processor_kwargs(resolution))

    def room(self, resolutions: Collection[Resolution]) -> dict[str, Any]:
        """The same for the costliest of them."""
        return self.processor_kwargs(tiling.costliest(resolutions, self.geometry))

    def image_tokens(self, resolution: Resolution, width: int, height: int) -> int | None:
        """By the formula of the published code."""
        return tiling.prompt_tokens(resolution, width, height, self.geometry)

    def problem(self, resolution: Resolution) -> str | None:
        """Sides that the weights know, and a sensible number of tiles."""
        return tiling.problem(resolution, self.geometry)

    def within(self, resolution: Resolution, room: Collection[Resolution]) -> Resolution:
        """Fewer tiles, or the costliest view that there is room for."""
        return tiling.within(resolution, room, self.geometry)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelProfile:
    """One family of models.

    Attributes:
        name: For people and sidecars.
        architectures: What `config.json` calls it.
        template: The whole prompt, chat markers included; `{prompt}` stands for the mode's words
            (a model that takes none has a template without it).
        image_token: The token that stands for the image in the prompt.
        vision: How it sees a page.
        prompts: Its own words for prompt modes, by the mode's name; None if it understands the
            words of the modes as they are.  A built-in mode that is not among them is not
            offered; an operator's own mode always is.
        readers: How its answers are read where that differs from the mode, by the mode's name.
        parser: How its answers are read, by its name in `PARSERS`.
        coordinate_scale: Coordinates run from 0 to this; None if they are pixels of the image
            that it sees.
        tokens: Tokens that it needs as one piece, with their official ids (None: any).
        vocab_size: The official size; ids are compared when the model has it.
        guarded: Whether the n-gram guard of this package runs inside the model's engine.
        never_banned: Tokens that the guard lets repeat.
        stop: Strings that end its answer.
        sampling: What to say to the sampler besides the defaults.
        resolutions: What the resolution modes mean to it, by name; others are taken as they are.
        dpi: At which PDF pages suit it.
        longest_side: Pages are scaled down to this many pixels; None for no limit.
        max_tokens: Most tokens of an answer.
    """

    name: str
    architectures: tuple[str, ...]
    template: str
    image_token: str
    vision: Vision
    prompts: Mapping[str, str] | None = None
    readers: Mapping[str, Reader] = field(default_factory=lambda: NOTHING)
    parser: str = "ref-det"
    coordinate_scale: int | None = 999
    tokens: Mapping[str, int | None] = field(default_factory=lambda: NOTHING)
    vocab_size: int | None = None
    guarded: bool = False
    never_banned: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    resolutions: Mapping[str, Resolution] = field(default_factory=lambda: NOTHING)
    dpi: int = 144
    longest_side: int | None = None
    max_tokens: int = 8192

    def words(self, mode: PromptMode, target: str = "") -> str:
        """The prompt as the model gets it, image token included."""
        own = self.prompts.get(mode.name, mode.prompt) if self.prompts is not None else mode.prompt
        return self.template.replace("{prompt}", own.replace("{target}", target))

    def seen(self, resolution: Resolution) -> Resolution:
        """What a folder's resolution means to this model."""
        own = self.resolutions.get(resolution.name)
        if own is None:
            return resolution
        return replace(own, max_crops=resolution.max_crops) if own.tile else own

    def scale(self, width: int, height: int) -> tuple[int, int]:
        """What coordinates run to, across and down, on an image of so many pixels."""
        end = self.coordinate_scale
        return (width, height) if end is None else (end, end)

    def blocks(self, text: str, mode: PromptMode, scale: tuple[int, int]) -> tuple[Block, ...]:
        """What an answer means; coordinates in it run to `scale`."""
        reader = self.readers.get(mode.name, mode.reader)
        return tuple(PARSERS[self.parser](text, reader, scale))

    def unsupported(self, mode: PromptMode) -> str | None:
        """None if the model can serve the mode, else a sentence that says why not."""
        if self.image_token in mode.prompt:
            return f"The prompt of mode {mode.name!r} contains {self.image_token}: leave it out."
        built_in = BUILT_IN_MODES.get(mode.name) == mode
        if built_in and self.prompts is not None and mode.name not in self.prompts:
            offered = ", ".join(sorted(self.prompts))
            return f"{self.name} has no mode {mode.name!r}; it offers {offered}."
        return None


DEEPSEEK_OCR = ModelProfile(
    name="DeepSeek-OCR",
    architectures=("DeepseekOCRForCausalLM",),
    template="<image>\n{prompt}",
    image_token="<image>",  # noqa: S106 - a token of a vocabulary, not a secret
    vision=DeepSeekVision(tiling.DEEPSEEK_OCR),
    tokens=MappingProxyType(
        {
            "<image>": 128815,
            "<|ref|>": None,
            "<|/ref|>": None,
            "<|det|>": None,
            "<|/det|>": None,
            "<|grounding|>": None,
            "<td>": 128821,
            "</td>": 128822,
        }
    ),
    vocab_size=129280,
    guarded=True,
    never_banned=("<td>", "</td>"),
)

DEEPSEEK_OCR_2 = ModelProfile(
    name="DeepSeek-OCR-2",
    architectures=("DeepseekOCR2ForCausalLM",),
    template=DEEPSEEK_OCR.template,
    image_token=DEEPSEEK_OCR.image_token,
    vision=DeepSeekVision(tiling.DEEPSEEK_OCR_2),
    tokens=DEEPSEEK_OCR.tokens,
    vocab_size=DEEPSEEK_OCR.vocab_size,
    guarded=True,
    never_banned=DEEPSEEK_OCR.never_banned,
    resolutions=MappingProxyType(
        {  # its weights know views of 768 and 1024 only
            "tiny": Resolution(name="tiny", base=768),
            "small": Resolution(name="small", base=768),
            "base": Resolution(name="base", base=1024),
            "large": Resolution(name="large", base=1024),
            "gundam": Resolution(name="gundam", base=1024, tile=768, max_crops=6),
        }
    ),
)

PROFILES: tuple[ModelProfile, ...] = (DEEPSEEK_OCR, DEEPSEEK_OCR_2)


def profile_for(
    model: str, architectures: list[str], known: tuple[ModelProfile, ...] = PROFILES
) -> ModelProfile:
    """The profile of a model, by what its `config.json` says of its architecture.

    Raises:
        EngineSetupError: No profile knows it.
    """
    for profile in known:
        if set(architectures) & set(profile.architectures):
            return profile
    names = ", ".join(profile.name for profile in known)
    raise EngineSetupError(
        f"The model {model} is a {'/'.join(architectures) or 'model of unnamed architecture'}, "
        "which ocrd has no profile for.",
        hint=f"Set engine.model to one of these families: {names}.",
        kind="unknown-model",
    )
