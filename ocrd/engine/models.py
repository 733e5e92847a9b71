"""The models that ocrd knows, as data: to add a model, add an entry here and nothing else.

A profile is chosen by its name (`engine.profile`), by the `architectures` of a model's
`config.json`, or by the model's name, since models of one architecture may be trained differently.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ocrd.engine import answers
from ocrd.engine.deepseek import grounding, tiling
from ocrd.errors import EngineSetupError
from ocrd.modes import BUILT_IN_MODES, AnswerFormat, Guard, PromptMode, Resolution
from ocrd.page import Block

# Parses an answer.  Takes the verbatim text, the format asked for, and the upper limits of its
# coordinates across and down.
Parser = Callable[[str, AnswerFormat, tuple[int, int]], list[Block]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelProfile:
    """One family of models.

    Attributes:
        name: Shown to people and in sidecars; the value for `engine.profile`.
        architectures: Its names in `config.json`, if no other family uses them.
        names: Lower-case parts of model names that identify the family.
        template: The whole prompt, with `{prompt}` in place of the mode's words.  None: the chat
            template that comes with the tokenizer.
        chat: Keyword arguments for that chat template.
        image_token: The token that stands for the image in the prompt.
        geometry: The geometry of the global view and the tiles of DeepSeek's models; None for a
            model that sees every page in its own way, whatever the folder's resolution.
        prompts: Its own words for prompt modes, by the mode's name; None if it understands the
            words of the modes as they are.  A built-in mode that is not among them is not
            offered; an operator's own mode always is.
        parser: Parses its answers.
        coordinate_scale: Coordinates run from 0 to this; None if they are pixels of the image
            that the model sees.
        side_multiple: Its image processor resizes sides to multiples of this, which shifts pixel
            coordinates; so pages are resized beforehand.
        tokens: Tokens that its tokenizer must know as single tokens, with their official ids (None:
            any id).
        vocab_size: The official size; ids are compared only if the model's is the same.
        guarded: Whether the n-gram guard of this package runs inside the model's engine.
        guard: Replaces the default guard of the modes, if the model needs another.
        never_banned: Tokens that the guard lets repeat.
        sampling: Sampling parameters that differ from the defaults.
        resolutions: What the resolution modes mean to it, by name; others are used as they are.
        dpi: The resolution at which PDF pages suit it.
        longest_side: Pages are scaled down to this many pixels; None for no limit.
    """

    name: str
    architectures: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    template: str | None = None
    chat: Mapping[str, Any] = field(default_factory=dict)
    image_token: str
    geometry: tiling.Geometry | None = None
    prompts: Mapping[str, str] | None = None
    parser: Parser = grounding.parse
    coordinate_scale: int | None = 999
    side_multiple: int = 1
    tokens: Mapping[str, int | None] = field(default_factory=dict)
    vocab_size: int | None = None
    guarded: bool = False
    guard: Guard | None = None
    never_banned: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)
    resolutions: Mapping[str, Resolution] = field(default_factory=dict)
    dpi: int = 144
    longest_side: int | None = None

    def prompt(self, mode: PromptMode, target: str = "") -> str:
        """The words of the prompt in a mode, without image and chat markers."""
        own = (self.prompts or {}).get(mode.name, mode.prompt)
        return str(own).replace("{target}", target)

    def words(self, mode: PromptMode, target: str = "") -> str:
        """The prompt put into the template, image token included; without one, as `prompt`."""
        return (self.template or "{prompt}").replace("{prompt}", self.prompt(mode, target))

    def guard_of(self, mode: PromptMode) -> Guard | None:
        """The guard that stops the model from repeating itself; None if the model runs without."""
        if not self.guarded:
            return None
        return self.guard if self.guard is not None and mode.guard == Guard() else mode.guard

    def seen(self, resolution: Resolution) -> Resolution:
        """The resolution at which this model sees pages of a folder with this one."""
        own = self.resolutions.get(resolution.name)
        if own is None:
            return resolution
        return replace(own, max_crops=resolution.max_crops) if own.tile else own

    def processor_kwargs(self, resolution: Resolution) -> dict[str, Any]:
        """Keyword arguments for the model's image processor, for one page."""
        return {} if self.geometry is None else dict(tiling.processor_kwargs(resolution))

    def kwargs_for(self, resolutions: Collection[Resolution]) -> dict[str, Any]:
        """Keyword arguments at the engine's start, so that memory is reserved for all of these."""
        if self.geometry is None:
            return {}
        return self.processor_kwargs(tiling.costliest(resolutions, self.geometry))

    def image_tokens(self, resolution: Resolution, width: int, height: int) -> int | None:
        """Tokens that a page of this size in pixels takes; None if only the processor knows."""
        if self.geometry is None:
            return None
        return tiling.prompt_tokens(resolution, width, height, self.geometry)

    def problem(self, resolution: Resolution) -> str | None:
        """None if the model supports the resolution; otherwise what is wrong with it."""
        return None if self.geometry is None else tiling.problem(resolution, self.geometry)

    def within(self, resolution: Resolution, room: Collection[Resolution]) -> Resolution:
        """The resolution, or the nearest one that fits into the memory reserved for `room`."""
        if self.geometry is None:
            return resolution
        return tiling.within(resolution, room, self.geometry)

    def scale(self, width: int, height: int) -> tuple[int, int]:
        """The upper limits of coordinates, across and down, for an image of this size in pixels."""
        end = self.coordinate_scale
        return (width, height) if end is None else (end, end)

    def blocks(self, text: str, mode: PromptMode, scale: tuple[int, int]) -> tuple[Block, ...]:
        """The blocks of an answer whose coordinates run to `scale`."""
        return tuple(self.parser(text, mode.answers, scale))

    def unsupported(self, mode: PromptMode) -> str | None:
        """None if the model can serve the mode, otherwise a sentence that says why not."""
        if self.image_token in mode.prompt:
            return f"The prompt of mode {mode.name!r} contains {self.image_token}: leave it out."
        built_in = BUILT_IN_MODES.get(mode.name) == mode
        if built_in and self.prompts is not None and mode.name not in self.prompts:
            offered = ", ".join(sorted(self.prompts))
            return f"{self.name} has no mode {mode.name!r}; it offers {offered}."
        return None


# The prompts that these models were trained with, from the code published with them.
DOTS_LAYOUT = """\
Please output the layout information from the PDF image, including each layout element's bbox, \
its category, and the corresponding text content within the bbox.

1. Bbox format: [x1, y1, x2, y2]

2. Layout Categories: The possible categories are ['Caption', 'Footnote', 'Formula', 'List-item', \
'Page-footer', 'Page-header', 'Picture', 'Section-header', 'Table', 'Text', 'Title'].

3. Text Extraction & Formatting Rules:
    - Picture: For the 'Picture' category, the text field should be omitted.
    - Formula: Format its text as LaTeX.
    - Table: Format its text as HTML.
    - All Others (Text, Title, etc.): Format their text as Markdown.

4. Constraints:
    - The output text must be the original text from the image, with no translation.
    - All layout elements must be sorted according to human reading order.

5. Final Output: The entire output must be a single JSON object.
"""
OLM_PAGE = """\
Attached is one page of a document that you must process. Just return the plain text \
representation of this document as if you were reading it naturally. Convert equations to LateX \
and tables to HTML.
If there are any figures or charts, label them with the following markdown syntax \
![Alt text describing the contents of the figure](page_startx_starty_width_height.png)
Return your output as markdown, with a front matter section on top specifying values for the \
primary_language, is_rotation_valid, rotation_correction, is_table, and is_diagram parameters."""
ANY_PAGE = """\
Write down this page as Markdown, in reading order: headings, lists, tables as HTML, formulas as \
LaTeX. Write the words as they are printed, in their language, leave out nothing, add nothing."""


DEEPSEEK_OCR = ModelProfile(
    name="DeepSeek-OCR",
    architectures=("DeepseekOCRForCausalLM",),
    names=("deepseek-ocr", "deepseek_ocr"),
    template="<image>\n{prompt}",
    image_token="<image>",  # noqa: S106 - a token of a vocabulary, not a secret
    geometry=tiling.DEEPSEEK_OCR,
    tokens={
        "<image>": 128815,
        "<|ref|>": None,
        "<|/ref|>": None,
        "<|det|>": None,
        "<|/det|>": None,
        "<|grounding|>": None,
        "<td>": 128821,
        "</td>": 128822,
    },
    vocab_size=129280,
    guarded=True,
    never_banned=("<td>", "</td>"),
)

DEEPSEEK_OCR_2 = replace(
    DEEPSEEK_OCR,
    name="DeepSeek-OCR-2",
    architectures=("DeepseekOCR2ForCausalLM",),
    names=("deepseek-ocr-2", "deepseek_ocr_2", "deepseek-ocr2"),
    geometry=tiling.DEEPSEEK_OCR_2,
    resolutions={  # its weights support only views of 768 and 1024
        "tiny": Resolution(name="tiny", base=768),
        "small": Resolution(name="small", base=768),
        "base": Resolution(name="base", base=1024),
        "large": Resolution(name="large", base=1024),
        "gundam": Resolution(name="gundam", base=1024, tile=768, max_crops=6),
    },
)

UNLIMITED_OCR = ModelProfile(
    name="Unlimited-OCR",
    architectures=("UnlimitedOCRForCausalLM",),
    names=("unlimited-ocr", "unlimited_ocr"),
    template="<image>{prompt}",
    image_token=DEEPSEEK_OCR.image_token,
    prompts=dict.fromkeys(("document", "layout", "ocr"), "document parsing."),
    parser=answers.det_label,
    guarded=True,
    guard=Guard(ngram=35, window=128),
    never_banned=DEEPSEEK_OCR.never_banned,
)

LIGHTON_OCR_3 = ModelProfile(
    name="LightOnOCR-3",
    names=("lightonocr-3", "lightonocr3"),
    chat={"enable_thinking": False},
    image_token="<|image_pad|>",  # noqa: S106 - a token of a vocabulary, not a secret
    prompts=dict.fromkeys(("document", "layout", "ocr"), "grounding"),
    parser=answers.md_anchor,
    coordinate_scale=1000,
    sampling={"temperature": 0.1},
    dpi=200,
    longest_side=2048,
)

LIGHTON_OCR_3_1B = replace(
    LIGHTON_OCR_3,
    name="LightOnOCR-3-1B",
    names=("lightonocr-3-1b",),
    chat={},
    longest_side=1540,
)

DOTS_OCR = ModelProfile(
    name="dots.ocr",
    architectures=("DotsOCRForCausalLM",),
    names=("dots.ocr", "dotsocr", "dots-ocr"),
    image_token="<|imgpad|>",  # noqa: S106 - a token of a vocabulary, not a secret
    prompts={
        "document": DOTS_LAYOUT,
        "layout": DOTS_LAYOUT,
        "ocr": "Extract the text content from this image.",
    },
    parser=answers.json_bbox,
    coordinate_scale=None,
    side_multiple=28,
    dpi=200,
    longest_side=3360,
)

OLM_OCR_2 = ModelProfile(
    name="olmOCR-2",
    names=("olmocr",),
    image_token="<|image_pad|>",  # noqa: S106 - a token of a vocabulary, not a secret
    prompts=dict.fromkeys(("document", "ocr"), OLM_PAGE),
    parser=answers.markdown,
    coordinate_scale=None,
    sampling={"temperature": 0.1},
    longest_side=1288,
)

MARKDOWN = ModelProfile(
    name="Markdown",
    image_token="<image>",  # noqa: S106 - a token of a vocabulary, not a secret
    prompts={
        "document": ANY_PAGE,
        "ocr": "Write down all text of this page as it is printed, in reading order, and "
        "nothing else.",
        "describe": BUILT_IN_MODES["describe"].prompt,
    },
    parser=answers.markdown,
    coordinate_scale=None,
    longest_side=2048,
)

PROFILES: tuple[ModelProfile, ...] = (
    DEEPSEEK_OCR,
    DEEPSEEK_OCR_2,
    UNLIMITED_OCR,
    LIGHTON_OCR_3,
    LIGHTON_OCR_3_1B,
    DOTS_OCR,
    OLM_OCR_2,
    MARKDOWN,
)


def profile_named(name: str) -> ModelProfile:
    """The profile with that name; case does not matter.

    Raises:
        EngineSetupError: There is no such profile.
    """
    for profile in PROFILES:
        if profile.name.lower() == name.lower():
            return profile
    raise EngineSetupError(
        f"engine.profile is {name!r}, and there is no such profile.",
        hint=f"Set it to one of these: {', '.join(profile.name for profile in PROFILES)}.",
        kind="unknown-profile",
    )


def profile_for(model: str, architectures: Collection[str], chosen: str = "") -> ModelProfile:
    """The profile of a model: the chosen one, or by its architecture, or by its name.

    Raises:
        EngineSetupError: The chosen profile does not exist, or none fits the model.
    """
    if chosen:
        return profile_named(chosen)
    for profile in PROFILES:
        if set(architectures) & set(profile.architectures):
            return profile
    if (named := by_name(model)) is not None:
        return named
    names = ", ".join(profile.name for profile in PROFILES)
    raise EngineSetupError(
        f"The model {model} is a {'/'.join(architectures) or 'model of unnamed architecture'}, "
        "which ocrd has no profile for.",
        hint=f"Set engine.model to one of these families, or engine.profile to the one that it "
        f"answers like: {names}.",
        kind="unknown-model",
    )


def by_name(model: str) -> ModelProfile | None:
    """The profile with the longest of the `names` that occur in the model's name, or None."""
    found = [
        (len(name), place)
        for place, profile in enumerate(PROFILES)
        for name in profile.names
        if name in model.lower()
    ]
    return PROFILES[max(found)[1]] if found else None
