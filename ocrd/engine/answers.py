"""Parsers for the answer formats of models other than DeepSeek-OCR.  Pure; no word is lost.

Each parser takes the answer verbatim, the format that was asked for and the upper limits of its
coordinates, and never raises: an answer may break off anywhere, or not be in the format at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ocrd.engine.deepseek import grounding
from ocrd.modes import AnswerFormat
from ocrd.page import Block, Box

LABELS = {  # other models' labels -> the names used by `grounding` and the document
    "section": "section_title",
    "section_header": "section_title",
    "aside_text": "aside",
    "picture": "image",
}
NUMBER = r"-?[0-9]{1,7}(?:\.[0-9]{0,7})?"

_ANCHOR = re.compile(
    rf"!\[([a-z][a-z_]{{0,29}})(\+?)\]\(\s*({NUMBER}(?:\s*,\s*{NUMBER}){{3}})\s*\)"
)
_TORN_ANCHOR = re.compile(r"!\[[a-z_]{0,30}\+?(?:\](?:\([-0-9., ]{0,60})?)?\Z")
_DET = re.compile(
    r"<\|det\|>[ \t]*([A-Za-z][A-Za-z_ -]{0,40}?)[ \t]*(\[[-0-9., \[\]]*)(?:<\|/det\|>|\Z)"
)
_FENCE = re.compile(r"\A\s*```[a-z]{0,10}\n(.*?)(?:\n```\s*)?\Z", re.DOTALL)
_ELEMENT = re.compile(r'\{\s*"(?:bbox|category|text)"')
_NOISE = re.compile(r"[\s,\[\]{}]*")
_FIELD_BOX = re.compile(r'"bbox"\s*:\s*\[([^\]"]*)\]?\s*,?')
_FIELD_NAME = re.compile(r'"category"\s*:\s*"([^"\n]{0,40})(?:"\s*,?|\Z)')
_FIELD_TEXT = re.compile(r'"text"\s*:\s*"(.*)\Z', re.DOTALL)
_END = re.compile(r'"?\s*\}?[\s,\]]*\Z')
_ESCAPED = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\/bfnrt])')
_FRONT = re.compile(r"\A\s*---\n(?:[a-z_]{1,40}:[^\n]{0,200}\n)+---(?:\n|\Z)")
_FIGURE = re.compile(r"!\[([^\]\n]{0,2000})\]\(page_(\d{1,6})_(\d{1,6})_(\d{1,6})_(\d{1,6})\.png\)")


def det_label(text: str, answers: AnswerFormat, scale: tuple[int, int]) -> list[Block]:
    """Parse `<|det|>label [x1, y1, x2, y2]<|/det|>text`, Unlimited-OCR's format.

    It is DeepSeek-OCR's format with the label in another place, and is converted to that.
    """

    def as_reference(match: re.Match[str]) -> str:
        label, numbers = match.groups()
        inner = numbers.strip().removeprefix("[").removesuffix("]")
        boxes = inner if inner.lstrip().startswith("[") else f"[{inner}]"
        return f"<|ref|>{_label(label)}<|/ref|><|det|>[{boxes}]<|/det|>\n"

    spans = AnswerFormat.DOCUMENT if answers is AnswerFormat.SPANS else answers
    return grounding.parse(_DET.sub(as_reference, text), spans, scale)


def md_anchor(text: str, answers: AnswerFormat, scale: tuple[int, int]) -> list[Block]:
    """Parse `![label](x1,y1,x2,y2) text`, with text up to the next anchor: LightOnOCR-3's format.

    A label with a plus continues the last block with that label.
    """
    del answers  # the format is the same for every prompt
    text = _TORN_ANCHOR.sub("", text)
    marks = list(_ANCHOR.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)] * bool(marks)
    before = text[: marks[0].start()] if marks else text
    blocks = [_block("text", before)] if before.strip() else []
    for mark, end in zip(marks, ends, strict=True):
        found = grounding.box_of([float(number) for number in mark[3].split(",")], scale)
        block = _block(mark[1], text[mark.end() : end], found)
        same = [n for n, one in enumerate(blocks) if one.label == block.label] if mark[2] else []
        if same:
            first = blocks[same[-1]]
            words = " ".join(part for part in (first.text, block.text) if part)
            blocks[same[-1]] = replace(first, text=words, boxes=first.boxes + block.boxes)
        else:
            blocks.append(block)
    return blocks


def json_bbox(text: str, answers: AnswerFormat, scale: tuple[int, int]) -> list[Block]:
    """Parse a list of `{"bbox": [x1, y1, x2, y2], "category": …, "text": …}`: dots.ocr's format."""
    del answers  # an answer without elements is read as text
    return list(_elements(_unfenced(text), scale))


def markdown(text: str, answers: AnswerFormat, scale: tuple[int, int]) -> list[Block]:
    """Parse Markdown; figures may be `![words](page_X_Y_WIDTH_HEIGHT.png)`, as olmOCR-2 has them.

    The front matter that olmOCR-2 writes before the text is not part of the page and is dropped.
    """
    del answers
    text = _FRONT.sub("", _unfenced(text))
    blocks, start = [], 0
    for figure in _FIGURE.finditer(text):
        blocks += _prose(text[start : figure.start()])
        x, y, width, height = map(int, figure.groups()[1:])
        box = grounding.box_of([x, y, x + width, y + height], scale)
        blocks.append(_block("image", figure[1], box))
        start = figure.end()
    return blocks + _prose(text[start:])


def _label(word: str) -> str:
    known = re.sub(r"[ -]+", "_", word.strip().lower())
    return LABELS.get(known, known)


def _block(word: str, text: str, box: Box | None = None) -> Block:
    label = _label(word) or "text"
    boxes = (box,) if box is not None else ()
    return Block(label, text.strip(), boxes, level=grounding.LEVELS.get(label, 0))


def _prose(text: str) -> list[Block]:
    return [_block("text", text)] if text.strip() else []


def _unfenced(text: str) -> str:
    """The answer without a code fence around the whole of it."""
    fenced = _FENCE.match(text)
    return text if fenced is None or "\n```" in fenced[1] else fenced[1]


def _elements(text: str, scale: tuple[int, int]) -> Iterator[Block]:
    """The elements in order; text between them and malformed elements as well as possible."""
    decoder = json.JSONDecoder()
    position = 0
    while (match := _ELEMENT.search(text, position)) is not None:
        yield from _stray(text[position : match.start()])
        try:
            said, position = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            following = _ELEMENT.search(text, match.end())
            position = following.start() if following else len(text)
            yield _spoilt(text[match.start() : position], scale)
        else:
            yield _element(said, scale)
    yield from _stray(text[position:])


def _stray(text: str) -> list[Block]:
    """The text between elements as a block, unless it is only punctuation of the list."""
    return [] if _NOISE.fullmatch(text) else _prose(text)


def _element(said: Mapping[str, Any], scale: tuple[int, int]) -> Block:
    text, label = said.get("text"), said.get("category")
    return _block(
        label if isinstance(label, str) else "",
        text if isinstance(text, str) else "" if text is None else json.dumps(text),
        _numbers(said.get("bbox"), scale),
    )


def _numbers(said: object, scale: tuple[int, int]) -> Box | None:
    if not isinstance(said, list) or not all(type(one) in (int, float) for one in said):
        return None
    try:
        return grounding.box_of([float(one) for one in said], scale)
    except OverflowError:
        return None


def _spoilt(text: str, scale: tuple[int, int]) -> Block:
    """The block of a malformed element, which breaks off or has unescaped quotes in its text."""
    head, text_from = text, len(text)
    body = _FIELD_TEXT.search(text)
    if body is not None:
        head, text_from = text[: body.start()], body.start(1)
    found, name = _FIELD_BOX.search(head), _FIELD_NAME.search(head)
    numbers = [float(one) for one in re.findall(NUMBER, found[1])] if found else []
    said = _END.sub("", text[text_from:])
    said = said[:-1] if said.endswith("\\") and not said.endswith("\\\\") else said
    rest = _FIELD_NAME.sub("", _FIELD_BOX.sub("", head))
    rest = "" if re.fullmatch(r'[\s,{}\[\]]*(?:"[a-z]{0,8}"?\s*:?\s*"?)?\s*', rest) else rest
    words = "\n".join(part for part in (rest.strip(), _ESCAPED.sub(_unescaped, said)) if part)
    return _block(name[1] if name else "text", words, grounding.box_of(numbers, scale))


def _unescaped(match: re.Match[str]) -> str:
    decoded = json.loads(f'"{match[0]}"')
    return decoded if decoded.isprintable() or decoded.isspace() else match[0]
