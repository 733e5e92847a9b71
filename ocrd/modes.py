"""Prompt modes (what is asked of the model) and resolution modes (how it sees the page).  Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class AnswerFormat(enum.StrEnum):
    """How the model's answer is to be read."""

    PLAIN = "plain"  # the text itself
    DOCUMENT = "document"  # grounding tags: the ref is a layout label, its text follows
    SPANS = "spans"  # grounding tags: the ref is the text itself
    FIGURE = "figure"  # data of a chart, kept as it came


@dataclass(frozen=True, kw_only=True, slots=True)
class Guard:
    """The n-gram rule that stops repetition loops.

    A token is banned when it would repeat an n-gram of `ngram` tokens seen among the last `window`
    tokens; `<td>` and `</td>` are never banned.  Official settings: 30/90 for images, 20/50 for
    PDF pages, 40/90 for evaluation.
    """

    ngram: int = 30
    window: int = 90


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptMode:
    """What is asked of the model.

    Attributes:
        name: What a folder's `mode` says.
        prompt: The text after the image; `{target}` is replaced by the folder's `target`.
        answers: How the answer is read.
        max_tokens: The most tokens to generate; reduced to what the context leaves.
        guard: The n-gram rule, or None for no guard.
    """

    name: str
    prompt: str
    answers: AnswerFormat
    max_tokens: int = 8192
    guard: Guard | None = Guard()

    @property
    def needs_target(self) -> bool:
        """Whether a folder of this mode must say what to look for."""
        return "{target}" in self.prompt


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """How the model sees the page.

    Attributes:
        name: What a folder's `resolution` says.
        base: Side of the global view, pixels.
        tile: Side of a tile, pixels; 0 for no tiles.
        max_crops: The largest number of tiles.
    """

    name: str
    base: int
    tile: int = 0
    max_crops: int = 0


BUILT_IN_MODES: dict[str, PromptMode] = {
    mode.name: mode
    for mode in (
        PromptMode(name="ocr", prompt="Free OCR.", answers=AnswerFormat.PLAIN),
        PromptMode(
            name="document",
            prompt="<|grounding|>Convert the document to markdown.",
            answers=AnswerFormat.DOCUMENT,
        ),
        PromptMode(
            name="layout", prompt="<|grounding|>OCR this image.", answers=AnswerFormat.SPANS
        ),
        PromptMode(
            name="describe", prompt="Describe this image in detail.", answers=AnswerFormat.PLAIN
        ),
        PromptMode(name="figure", prompt="Parse the figure.", answers=AnswerFormat.FIGURE),
        PromptMode(
            name="locate",
            prompt="Locate <|ref|>{target}<|/ref|> in the image.",
            answers=AnswerFormat.SPANS,
        ),
    )
}

RESOLUTIONS: dict[str, Resolution] = {
    resolution.name: resolution
    for resolution in (
        Resolution(name="tiny", base=512),
        Resolution(name="small", base=640),
        Resolution(name="base", base=1024),
        Resolution(name="large", base=1280),
        Resolution(name="gundam", base=1024, tile=640, max_crops=6),
    )
}
