"""Parses the model's grounding tags into blocks.  Pure, linear in the text, and no word is lost.

A well-formed block is `<|ref|>LABEL<|/ref|><|det|>[[x1, y1, x2, y2]]<|/det|>`, a newline and the
text; coordinates run from 0 to the model's scale over the page (DeepSeek-OCR's to 999, arXiv
2510.18234).  Models also leave tags open, omit them, write words among the coordinates and stop
anywhere: anything that is not clearly a tag, a label or a coordinate remains text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from ocrd.modes import AnswerFormat
from ocrd.page import Block, Box, PageResult

SCALE = (999, 999)  # DeepSeek-OCR's, across and down
BEYOND = 1  # models sometimes write 1000 for 999; anything larger is not a coordinate

LABELS = frozenset(
    """
    abstract algorithm aside author caption chart code content equation figure figure_caption
    figure_title footer footnote formula handwriting header image image_caption image_footnote
    list list_item page_footer page_header page_number paragraph reference seal section
    section_title signature stamp sub_title subtitle table table_caption table_footnote
    table_title text title watermark
    """.split()  # noqa: SIM905 - one word per line would fill a screen
)

LEVELS = {"title": 1, "sub_title": 2, "subtitle": 2, "section_title": 2}

_TAG = re.compile(r"<\|(/?(?:ref|det))\|>")
_SPECIAL = re.compile(r"<\|grounding\|>|<｜[^｜<>\n]{1,40}｜>")  # noqa: RUF001 - the tokens' bars
_BARE = re.compile(r"\[\[[-0-9., ]{1,60}\](?:, ?\[[-0-9., ]{1,60}\]){0,63}\]")
_LABEL_SHAPE = re.compile(r"[a-z]{1,20}(?:_[a-z]{1,20}){1,3}")
_LONGEST_LABEL = 80
_NUMBER = re.compile(r"-?[0-9]{1,7}(?:\.[0-9]{0,7})?")
_ONLY_COORDINATES = re.compile(r"[-0-9.,\s\[\]]*")


def parse(text: str, answers: AnswerFormat, scale: tuple[int, int] = SCALE) -> list[Block]:
    """The blocks that `text` describes, in the same order.

    Args:
        text: The model's answer, verbatim.
        answers: `DOCUMENT`: the ref is a layout label.  `SPANS`: the ref is the text itself.
            `PLAIN` and `FIGURE` expect no tags; a text without tags gives one block.
        scale: The upper limits of coordinates, across and down.
    """
    text = _SPECIAL.sub("", text)
    if answers in (AnswerFormat.PLAIN, AnswerFormat.FIGURE) and not _TAG.search(text):
        label = "figure" if answers is AnswerFormat.FIGURE else "text"
        return [Block(label, text.strip())] if text.strip() else []
    builder = _Builder(spans=answers is AnswerFormat.SPANS, scale=scale)
    for tag, content, following in _pieces(text):
        if tag == "ref":
            builder.ref(content, closed=following in ("/ref", "det"))
        elif tag == "det":
            builder.det(content, closed=following == "/det")
        else:
            builder.body(content)
    return builder.finish()


def with_blocks(payload: str, answers: AnswerFormat) -> str:
    """A stored result in today's format; results of old versions have their blocks as tags."""
    record = json.loads(payload)
    if "blocks" in record:
        return payload
    across, down = record.get("scale") or SCALE
    blocks = parse(record["text"], AnswerFormat(record.get("reader") or answers), (across, down))
    return replace(PageResult.from_json(payload), blocks=tuple(blocks)).to_json()


def box_of(values: Sequence[float], scale: tuple[int, int]) -> Box | None:
    """Four numbers as a box, clamped to the page; None if they are not four or have no area."""
    if len(values) != 4:
        return None
    x1, y1, x2, y2 = (
        min(max(value / max(end, 1), 0.0), 1.0)
        for value, end in zip(values, scale * 2, strict=True)
    )
    if x1 == x2 or y1 == y2:
        return None
    return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))  # corners may be swapped


def is_label(text: str) -> bool:
    """Whether a ref's content is a layout label rather than text."""
    word = text.strip().lower()
    return word in LABELS or _LABEL_SHAPE.fullmatch(word) is not None


def _pieces(text: str) -> Iterator[tuple[str, str, str]]:
    """Each tag, the text from there to the next tag, and that next tag."""
    tag, start = "", 0
    for match in _TAG.finditer(text):
        yield tag, text[start : match.start()], match[1]
        tag, start = match[1], match.end()
    yield tag, text[start:], ""


@dataclass
class _Draft:
    """An unfinished block."""

    label: str = "text"
    parts: list[str] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    takes_boxes: bool = True  # a ref was just read; boxes that follow are its own

    def block(self) -> Block:
        text = "".join(self.parts).strip()
        return Block(self.label, text, tuple(self.boxes), level=LEVELS.get(self.label, 0))


class _Builder:
    """Collects blocks from refs, dets and the text between them."""

    def __init__(self, *, spans: bool, scale: tuple[int, int]) -> None:
        self._spans = spans
        self._scale = scale
        self._drafts: list[_Draft] = []

    def finish(self) -> list[Block]:
        blocks = (draft.block() for draft in self._drafts)
        return [block for block in blocks if block.text or block.boxes or block.label != "text"]

    def ref(self, content: str, *, closed: bool) -> None:
        said, rest = content, ""
        if not closed:  # cut off or mangled: no ref extends beyond its line
            said, newline, tail = content.partition("\n")
            rest = newline + tail
        if not self._spans and is_label(said):
            self._start(_Draft(said.strip().lower()))
        else:
            self._start(_Draft(parts=[said]))
        if rest.strip():
            self.body(rest)

    def det(self, content: str, *, closed: bool) -> None:
        if not self._drafts or not self._drafts[-1].takes_boxes:
            self._start(self._draft_before_orphan())
        said, rest = _coordinates(content, closed=closed)
        self._drafts[-1].boxes += _boxes(said, self._scale)
        if rest.strip():
            self.body("\n" + rest)

    def body(self, content: str) -> None:
        start = line = looked = 0  # where the unappended text, the line, the unsearched text begin
        for match in _BARE.finditer(content):
            newline = content.rfind("\n", looked, match.start())
            line, looked = max(line, start, newline + 1), match.end()
            if self._owns_bare(content, line, match):
                self._append(content[start:line])
                said = content[line : match.start()]
                named = not self._spans
                self._start(_Draft(said.strip().lower()) if named else _Draft(parts=[said]))
                self._drafts[-1].boxes += _boxes(match[0], self._scale)
                self._drafts[-1].takes_boxes = False
                start = match.end()
        self._append(content[start:])

    def _owns_bare(self, content: str, line: int, match: re.Match[str]) -> bool:
        """Whether coordinates without tags belong to the words before them on their line."""
        if not self._spans:
            short = match.start() - line <= _LONGEST_LABEL
            return short and is_label(content[line : match.start()])
        groups = match[0].strip("[]").split("]")
        four = all(group.count(",") >= 3 for group in groups if group)
        return four and bool(content[line : match.start()].strip())

    def _append(self, content: str) -> None:
        if not content.strip():
            if self._drafts:
                self._drafts[-1].parts.append(content)
            return
        draft = self._drafts[-1] if self._drafts else None
        if draft is None or (self._spans and (draft.takes_boxes or draft.boxes)):
            draft = self._start(_Draft())
        if draft.parts and draft.takes_boxes and not content[0].isspace():
            draft.parts.append("\n")
        draft.takes_boxes = False
        draft.parts.append(content)

    def _start(self, draft: _Draft) -> _Draft:
        self._drafts.append(draft)
        return draft

    def _draft_before_orphan(self) -> _Draft:
        """The block for a det without a ref: the line before the det may be the ref's content."""
        if not self._drafts:
            return _Draft()
        parts = self._drafts[-1].parts
        above, _, last = "".join(parts).rpartition("\n")
        if not (last.strip() and (self._spans or is_label(last))):
            return _Draft()
        parts[:] = [above]
        return _Draft(parts=[last]) if self._spans else _Draft(last.strip().lower())


def _coordinates(content: str, *, closed: bool) -> tuple[str, str]:
    """The part of a det's content that has the boxes, and the rest, which is text."""
    if closed and _ONLY_COORDINATES.fullmatch(content):
        return content, ""
    if closed and "\n" not in content.strip():
        inside_from, inside_to = content.find("["), content.rfind("]")
        if 0 <= inside_from < inside_to:
            inside = content[inside_from : inside_to + 1]
            outside = content[:inside_from] + " " + content[inside_to + 1 :]
            return inside, " ".join([*_words(inside), *outside.split(" ")]).strip()
    end = _bracketed(content)
    return content[:end], content[end:]


def _bracketed(content: str) -> int:
    """Where the coordinates at the start of `content` end: closed, cut off or malformed."""
    depth = 0
    for index, char in enumerate(content):
        if char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth <= 0:
                return index + 1 if depth == 0 else index
        elif not (char in " \t" or (depth and char in "-0123456789.,")):
            return index
    return len(content)


def _words(inside: str) -> list[str]:
    """The words among coordinates (`[[144, clef 0, 848, 0]]`: `clef`)."""
    tokens = re.split(r"[\s,\[\]]+", inside)
    return [token for token in tokens if not _ONLY_COORDINATES.fullmatch(token)]


def _boxes(coordinates: str, scale: tuple[int, int]) -> list[Box]:
    found = (_box(group, scale) for group in re.findall(r"[^\[\]]+", coordinates))
    return [box for box in found if box is not None]


def _box(group: str, scale: tuple[int, int]) -> Box | None:
    """A box from four numbers; None if they are not four, out of range or without area."""
    tokens = [token.strip() for token in group.strip(" ,\t\n").split(",")]
    if len(tokens) != 4 or not all(_NUMBER.fullmatch(token) for token in tokens):
        return None
    values = [float(token) for token in tokens]
    if not all(0 <= value <= end + BEYOND for value, end in zip(values, scale * 2, strict=True)):
        return None
    return box_of(values, scale)
