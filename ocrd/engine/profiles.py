"""What differs between models, as data: what a profile is made of.  `models` has the profiles."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from ocrd.engine import answers
from ocrd.engine.deepseek import grounding, tiling
from ocrd.modes import BUILT_IN_MODES, AnswerFormat, Guard, PromptMode, Resolution
from ocrd.page import Block

Parser = Callable[[str, AnswerFormat, tuple[int, int]], list[Block]]

# Reads an answer: the text verbatim, how it was asked for, and what coordinates in it run to.
PARSERS: Mapping[str, Parser] = MappingProxyType(
    {
        "ref-det": grounding.parse,
        "det-label": answers.det_label,
        "md-anchor": answers.md_anchor,
        "json-bbox": answers.json_bbox,
        "markdown": answers.markdown,
    }
)

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Vision:
    """How a model sees a page, and what that costs in tokens.

    Attributes:
        geometry: Of the global view and the tiles of DeepSeek's models; None for a model that sees
            every page in one way of its own, whatever the folder says.
    """

    geometry: tiling.Geometry | None = None

    def processor_kwargs(self, resolution: Resolution) -> dict[str, Any]:
        """What the model's image processor must be told for one page."""
        return {} if self.geometry is None else dict(tiling.processor_kwargs(resolution))

    def room(self, resolutions: Collection[Resolution]) -> dict[str, Any]:
        """What it must be told at the start, so that memory is kept for all of these."""
        if self.geometry is None:
            return {}
        return self.processor_kwargs(tiling.costliest(resolutions, self.geometry))

    def image_tokens(self, resolution: Resolution, width: int, height: int) -> int | None:
        """Tokens that a page of so many pixels takes; None if only the processor knows."""
        if self.geometry is None:
            return None
        return tiling.prompt_tokens(resolution, width, height, self.geometry)

    def problem(self, resolution: Resolution) -> str | None:
        """None if the model can see pages so; else what is wrong."""
        return None if self.geometry is None else tiling.problem(resolution, self.geometry)

    def within(self, resolution: Resolution, room: Collection[Resolution]) -> Resolution:
        """The resolution, or the nearest for which memory is kept that was kept for `room`."""
        if self.geometry is None:
            return resolution
        return tiling.within(resolution, room, self.geometry)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelProfile:
    """One family of models.

    Attributes:
        name: For people and sidecars, and for `engine.profile`.
        architectures: What `config.json` calls it, where no other model is called so.
        names: What the model's name holds, in small letters.
        template: The whole prompt; `{prompt}` stands for the mode's words.  None: the chat
            template that comes with the tokenizer.
        chat: What that template is told.
        image_token: The token that stands for the image in the prompt.
        vision: How it sees a page.
        prompts: Its own words for prompt modes, by the mode's name; None if it understands the
            words of the modes as they are.  A built-in mode that is not among them is not
            offered; an operator's own mode always is.
        parser: How its answers are read, by its name in `PARSERS`.
        coordinate_scale: Coordinates run from 0 to this; None if they are pixels of the image
            that it sees.
        side_multiple: Its processor makes sides multiples of this, which moves such pixels: pages
            are made so beforehand.
        tokens: Tokens that it needs as one piece, with their official ids (None: any).
        vocab_size: The official size; ids are compared when the model has it.
        guarded: Whether the n-gram guard of this package runs inside the model's engine.
        guard: What stands for the usual guard of the modes, if the model's is another.
        never_banned: Tokens that the guard lets repeat.
        sampling: What to say to the sampler besides the defaults.
        resolutions: What the resolution modes mean to it, by name; others are taken as they are.
        dpi: At which PDF pages suit it.
        longest_side: Pages are scaled down to this many pixels; None for no limit.
    """

    name: str
    architectures: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    template: str | None = None
    chat: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    image_token: str
    vision: Vision = Vision()
    prompts: Mapping[str, str] | None = None
    parser: str = "ref-det"
    coordinate_scale: int | None = 999
    side_multiple: int = 1
    tokens: Mapping[str, int | None] = field(default_factory=lambda: NOTHING)
    vocab_size: int | None = None
    guarded: bool = False
    guard: Guard | None = None
    never_banned: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    resolutions: Mapping[str, Resolution] = field(default_factory=lambda: NOTHING)
    dpi: int = 144
    longest_side: int | None = None

    def prompt(self, mode: PromptMode, target: str = "") -> str:
        """What the model is asked in a mode, without image and chat markers."""
        own = (self.prompts or NOTHING).get(mode.name, mode.prompt)
        return str(own).replace("{target}", target)

    def words(self, mode: PromptMode, target: str = "") -> str:
        """The prompt as the model gets it, image token included, where it has a template."""
        return (self.template or "{prompt}").replace("{prompt}", self.prompt(mode, target))

    def guard_of(self, mode: PromptMode) -> Guard | None:
        """What stops its answers from going in circles; None where this package's guard is not."""
        if not self.guarded:
            return None
        return self.guard if self.guard is not None and mode.guard == Guard() else mode.guard

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
        return tuple(PARSERS[self.parser](text, mode.answers, scale))

    def unsupported(self, mode: PromptMode) -> str | None:
        """None if the model can serve the mode, else a sentence that says why not."""
        if self.image_token in mode.prompt:
            return f"The prompt of mode {mode.name!r} contains {self.image_token}: leave it out."
        built_in = BUILT_IN_MODES.get(mode.name) == mode
        if built_in and self.prompts is not None and mode.name not in self.prompts:
            offered = ", ".join(sorted(self.prompts))
            return f"{self.name} has no mode {mode.name!r}; it offers {offered}."
        return None
