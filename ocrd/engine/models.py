"""The models that ocrd knows: another one is another entry here, nothing else.

A profile is chosen by its name (`engine.profile`), by the `architectures` of a model's
`config.json`, or by the model's name: models of one architecture may have learnt different things.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from types import MappingProxyType

from ocrd.engine.deepseek import tiling
from ocrd.engine.profiles import NOTHING, ModelProfile, Vision
from ocrd.errors import EngineSetupError
from ocrd.modes import BUILT_IN_MODES, Guard, Resolution

# The words that these models were trained with, from the code published with them.
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
    vision=Vision(tiling.DEEPSEEK_OCR),
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

DEEPSEEK_OCR_2 = replace(
    DEEPSEEK_OCR,
    name="DeepSeek-OCR-2",
    architectures=("DeepseekOCR2ForCausalLM",),
    names=("deepseek-ocr-2", "deepseek_ocr_2", "deepseek-ocr2"),
    vision=Vision(tiling.DEEPSEEK_OCR_2),
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

UNLIMITED_OCR = ModelProfile(
    name="Unlimited-OCR",
    architectures=("UnlimitedOCRForCausalLM",),
    names=("unlimited-ocr", "unlimited_ocr"),
    template="<image>{prompt}",
    image_token=DEEPSEEK_OCR.image_token,
    prompts=dict.fromkeys(("document", "layout", "ocr"), "document parsing."),
    parser="det-label",
    guarded=True,
    guard=Guard(ngram=35, window=128),
    never_banned=DEEPSEEK_OCR.never_banned,
)

LIGHTON_OCR_3 = ModelProfile(
    name="LightOnOCR-3",
    names=("lightonocr-3", "lightonocr3"),
    chat=MappingProxyType({"enable_thinking": False}),
    image_token="<|image_pad|>",  # noqa: S106 - a token of a vocabulary, not a secret
    prompts=dict.fromkeys(("document", "layout", "ocr"), "grounding"),
    parser="md-anchor",
    coordinate_scale=1000,
    sampling=MappingProxyType({"temperature": 0.1}),
    dpi=200,
    longest_side=2048,
)

LIGHTON_OCR_3_1B = replace(
    LIGHTON_OCR_3,
    name="LightOnOCR-3-1B",
    names=("lightonocr-3-1b",),
    chat=NOTHING,
    longest_side=1540,
)

DOTS_OCR = ModelProfile(
    name="dots.ocr",
    architectures=("DotsOCRForCausalLM",),
    names=("dots.ocr", "dotsocr", "dots-ocr"),
    image_token="<|imgpad|>",  # noqa: S106 - a token of a vocabulary, not a secret
    prompts=MappingProxyType(
        {
            "document": DOTS_LAYOUT,
            "layout": DOTS_LAYOUT,
            "ocr": "Extract the text content from this image.",
        }
    ),
    parser="json-bbox",
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
    parser="markdown",
    coordinate_scale=None,
    sampling=MappingProxyType({"temperature": 0.1}),
    longest_side=1288,
)

MARKDOWN = ModelProfile(
    name="Markdown",
    image_token="<image>",  # noqa: S106 - a token of a vocabulary, not a secret
    prompts=MappingProxyType(
        {
            "document": ANY_PAGE,
            "ocr": "Write down all text of this page as it is printed, in reading order, and "
            "nothing else.",
            "describe": BUILT_IN_MODES["describe"].prompt,
        }
    ),
    parser="markdown",
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
    """The profile of that name, in small letters or large.

    Raises:
        EngineSetupError: There is none.
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
        EngineSetupError: No profile knows it.
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
    """The profile whose name is in the model's; the longest such name counts."""
    found = [
        (len(name), place)
        for place, profile in enumerate(PROFILES)
        for name in profile.names
        if name in model.lower()
    ]
    return PROFILES[max(found)[1]] if found else None
