"""Reads a page with RapidOCR: finds the text, turns the page upright, recognises the pieces.

Runs in a child process.  RapidOCR's own pipeline is split up for three reasons: the detector gets
the page scaled down while the recogniser gets all its pixels; long lines are recognised in parts;
and the orientation is decided for the page as a whole, not for each line by itself.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import rapidocr

from ocrd.engine.rapid import engine, quads
from ocrd.engine.rapid.crops import Pixels, bands, cut, shrunk
from ocrd.engine.rapid.ink import (
    FEWEST,
    Glyph,
    anything,
    around_islands,
    glyphs,
    islands,
    rules,
    turned_over,
)
from ocrd.engine.rapid.lines import Pose, Recognised, Seams, printed
from ocrd.engine.rapid.quads import Quad
from ocrd.engine.rapid.recogniser import Recogniser
from ocrd.errors import EngineSetupError
from ocrd.layout.pieces import Piece, is_wide
from ocrd.layout.ruled import Rule
from ocrd.page import Box, PageImage

DETECT_SIDE = 1280  # pixels: longest side for the detector at first; it finds type of 6 points
SMALL_TEXT = 17.5  # pixels in the detector's scale: if most lines are lower, it looks again
CLOSER = 1.5  # times larger the second time; then it finds type of 4 points
SURE = 0.5  # a piece recognised with less confidence is noise
DOUBT = 0.3  # share of votes against; the classifier alone errs on pages with few words
LEGIBLE = 0.8  # mean confidence: no page is turned over with less
BETTER = 1.1  # times the confidence, for a page to be turned over
STILL_READ = 0.85  # times the confidence that vertical writing still has when turned to the right


@dataclass(frozen=True, slots=True)
class Lost:
    """A line that was found but not read: its place on the original page, and a guess."""

    box: Box
    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Reading:
    """The result of reading a page.

    Attributes:
        pieces: The pieces of text, in no particular order.
        rules: Straight rules, in pixels of the page as it is read, like the boxes of pieces.
        pose: The orientation of the page while it was read.
        turned: Degrees clockwise by which its print had to be turned.
        unread: The share of print, by length, that could not be read.
        lost: Lines that were found but not read.
        confidence: The confidence, on average over characters.
        least_sure: The least confidence on a page in a script that the recogniser knows.
        ink: Whether there is more on the page than specks.
    """

    pieces: tuple[Piece, ...]
    rules: tuple[Rule, ...]
    pose: Pose
    turned: int
    unread: float
    lost: tuple[Lost, ...]
    confidence: float
    least_sure: float
    ink: bool


class PageReader:
    """Reads one page at a time."""

    def __init__(self, ocr: Any, recogniser: Recogniser) -> None:  # its types are unions
        self._ocr = ocr
        self._recogniser = recogniser

    def read(self, image: PageImage) -> Reading:
        """Find and recognise the text of a page, whatever its orientation."""
        rgb = np.frombuffer(image.rgb, np.uint8).reshape(image.height, image.width, 3)
        page, turned = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), 0
        if self._recogniser.mirrored:
            page = np.ascontiguousarray(page[:, ::-1])
        print_ = glyphs(page)
        found = self._all(page, print_)
        if quads.lying(found):
            upright = cv2.rotate(page, cv2.ROTATE_90_CLOCKWISE)
            letters = glyphs(upright)
            if again := self._all(upright, letters):
                page, turned, print_, found = upright, 90, letters, again
        height, width = page.shape[:2]
        if found and self._upside_down(page, found):
            page, turned = cv2.rotate(page, cv2.ROTATE_180), turned + 180
            print_ = [turned_over(box, width, height) for box in print_]
            if self._recogniser.classified:
                found = [quads.turned_over(quad, width, height) for quad in found]
            else:  # the detector expects accents above their letters
                found = self._all(page, print_)
        tried = self._lines(page, quads.mended(found))
        lines = printed(tried, SURE)
        skew = quads.skew(line.quad for line in lines)
        pose = Pose(width, height, turned, skew, mirrored=self._recogniser.mirrored)
        ruled = rules(page, pose.slope, [line.quad for line in lines])
        whole = [piece.box for line in lines for piece in line.pieces(pose)]
        upright_rules = [rule for rule in ruled if rule[0] == rule[2]]
        seams = Seams(sorted(whole, key=lambda box: box.x1), upright_rules)
        vertical = turned == 270 and self._vertical(lines)
        seen = {id(line) for line in lines}
        lost = [line for line in tried if id(line) not in seen]
        missed = islands(print_, [line.quad for line in lines])
        return Reading(
            pieces=tuple(piece for line in lines for piece in line.pieces(pose, seams)),
            rules=tuple(ruled),
            pose=pose,
            turned=0 if vertical else -turned % 360 if pose.mirrored else turned,
            unread=_share(lines, missed),
            lost=tuple(
                Lost(pose.place(line.quad), line.read.text, line.read.score) for line in lost
            ),
            confidence=_confidence(lines),
            least_sure=self._recogniser.least_sure,
            ink=bool(lines) or anything(page),
        )

    def _all(self, page: Pixels, print_: list[Glyph]) -> list[Quad]:
        """The quads of all text; it is sought again in ink amid white, where the detector fails."""
        found = self._detected(page)
        missed = islands(print_, found, fewest=FEWEST if found else 1)
        for left, top, right, bottom in around_islands(missed, page.shape[:2]):
            for quad in self._found(page[top:bottom, left:right], DETECT_SIDE):
                a, b, c, d = ((x + left, y + top) for x, y in quad)
                if not any(quads.holds(other, (a, b, c, d)) for other in found):
                    found.append((a, b, c, d))
        return found

    def _detected(self, page: Pixels) -> list[Quad]:
        """The quads that the detector finds, at a larger scale if the text was small for it."""
        found = self._found(page, DETECT_SIDE)
        scale = min(1.0, DETECT_SIDE / max(max(band.shape[:2]) for _, _, band in bands(page)))
        if found and scale < 1 and median(map(quads.thickness, found)) * scale < SMALL_TEXT:
            return self._found(page, round(DETECT_SIDE * CLOSER))
        return found

    def _found(self, page: Pixels, side: int) -> list[Quad]:
        found = []
        for left, top, band in bands(page):
            scale = min(1.0, side / max(band.shape[:2]))
            seen = shrunk(band, scale) if scale < 1 else band
            boxes = self._ocr(seen, use_det=True, use_cls=False, use_rec=False).boxes
            for box in boxes if boxes is not None else ():
                a, b, c, d = ((left + x / scale, top + y / scale) for x, y in box.tolist())
                found.append((a, b, c, d))
        return found

    def _upside_down(self, page: Pixels, found: list[Quad]) -> bool:
        """Whether the page is upside down: by its longest pieces, as they are and turned over.

        If RapidOCR's classifier knows the script and is sure that the page is upright, that is
        enough.  A page that cannot be read either way stays as it is.
        """
        by, length = self._recogniser, self._recogniser.head
        longest = sorted(found, key=quads.width)[-by.voters :]
        crops = [cut(page, quads.taller(quad, by.margin)) for quad in longest]
        heads = [crop.pixels[:, : length * crop.height] for crop in crops]
        if by.classified:
            _, votes = self._ocr.cls_and_rotate(heads)
            against = sum(score for label, score in votes.cls_res if label == "180")
            if against <= DOUBT * sum(score for _, score in votes.cls_res):
                return False
        upright = by.scores(heads)
        if not by.classified and sum(upright) >= LEGIBLE * len(heads):
            return False
        over = by.scores([np.rot90(head, 2) for head in heads])
        return bool(sum(over) > BETTER * sum(upright) and sum(over) >= LEGIBLE * len(over))

    def _vertical(self, lines: Sequence[Recognised]) -> bool:
        """Whether the lines of a page that was turned to the left are columns of vertical writing.

        The recogniser reads characters that are upright or turned to the left.  If the page was
        on its side, its characters are upright now, and cannot be read if turned to the right.
        """
        wide = [it for it in lines if 2 * sum(map(is_wide, it.read.text)) > len(it.read.text)]
        if 2 * len(wide) <= len(lines):
            return False
        squares = [
            it
            for line in sorted(wide, key=lambda it: quads.width(it.quad))[-4:]
            for it in line.squares()[:6]
        ]
        now = self._ocr.recognize_txt(squares).scores
        as_it_came = self._ocr.recognize_txt([np.rot90(square, 3) for square in squares]).scores
        return bool(sum(as_it_came) > STILL_READ * sum(now))

    def _lines(self, page: Pixels, found: Sequence[Quad]) -> list[Recognised]:
        """Recognise all pieces; those on end are read from both ends, and the better is kept."""
        if not found:
            return []
        line = median(map(quads.height, found))
        standing = [quads.from_top(quad) for quad in found if quads.on_end(quad, line)]
        level = [quad for quad in found if not quads.on_end(quad, line)]
        down = self._recognised(page, standing)
        up = self._recognised(page, map(quads.from_end, standing))
        better = [max(pair, key=lambda it: it.read.score) for pair in zip(down, up, strict=True)]
        return [*self._recognised(page, level), *better]

    def _recognised(self, page: Pixels, found: Iterable[Quad]) -> list[Recognised]:
        """Cut out all quads and recognise them in one call."""
        margin = self._recogniser.margin
        places = [quads.taller(quad, margin) for quad in found]
        crops = [cut(page, quad) for quad in places]
        read = self._recogniser.lines(crops) if crops else []
        return [Recognised(*each) for each in zip(places, crops, read, strict=True)]


def _share(lines: Sequence[Recognised], missed: Sequence[Glyph]) -> float:
    """The share of print that was not read; lengths are measured in heights of each line."""
    read = sum(line.crop.width / line.crop.height for line in lines)
    unread = sum((right - left) / max(bottom - top, 1) for left, top, right, bottom in missed)
    return unread / (read + unread) if unread else 0.0


def _confidence(lines: Sequence[Recognised]) -> float:
    letters = sum(len(line.read.text) for line in lines)
    return sum(line.read.score * len(line.read.text) for line in lines) / max(1, letters)


@functools.cache
def load(threads: int) -> Any:
    """RapidOCR with its models (`Any`: its types are unions), with `threads` for an inference.

    Raises:
        EngineSetupError: The package of RapidOCR lacks a model.
    """
    logging.getLogger("RapidOCR").disabled = True  # it warns of every blank page
    return rapidocr.RapidOCR(params=_parameters(threads))


def _parameters(threads: int) -> dict[str, Any]:
    """RapidOCR's settings; since they have the models' paths, it never uses the network."""
    models = engine.models(Path(rapidocr.__file__))
    any_size = 1_000_000  # pages are scaled here
    return {
        "Global.log_level": "critical",
        "Global.max_side_len": any_size,
        "Global.return_word_box": True,
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Det.limit_type": "max",
        "Det.limit_side_len": any_size,
        "Det.model_path": _model(models, "det"),
        "Cls.model_path": _model(models, "cls"),
        "Rec.model_path": _model(models, "rec"),
        "Rec.rec_batch_num": 2,  # the default of 6 takes more memory and no less time
        "Rec.rec_img_shape": [3, 48, 160],  # the default of 320 makes table cells mostly padding
    }


def _model(models: Path, task: str) -> str:
    found = sorted(models.glob(f"*_{task}_*.onnx"))
    if not found:
        raise EngineSetupError(
            f"The package rapidocr brings no model for {task!r} in {models}.",
            hint="Install it anew: pip install --force-reinstall 'ocrd-daemon[cpu]'",
            kind="model-missing",
        )
    return str(found[-1])
