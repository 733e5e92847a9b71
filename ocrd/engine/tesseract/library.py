"""Calls Tesseract's library in this process, to read a line or detect a page's orientation.

The library is used instead of the program, so that a child process that examines pages needs no
permission to start others, and a model is loaded once instead of for every page.  The functions
are those of `capi.h`, which are the same in versions 4 and 5.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd.errors import EngineSetupError

_SONAMES = ("libtesseract.so.5", "libtesseract.so.4")
_LINE, _WORD, _SYMBOL = 2, 3, 4  # TessPageIteratorLevel
_ORIENTATION, _SINGLE_LINE = 0, 7  # TessPageSegMode
_LEGACY, _LSTM = 0, 1  # TessOcrEngineMode
_DPI = 300  # lines are about as high as print at this resolution

_POINTER, _TEXT, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_float
_INTS = ctypes.POINTER(_INT)
_CALLS: dict[str, tuple[Any, ...]] = {  # name -> the type of the result, then of the arguments
    "Version": (_TEXT,),
    "DeleteText": (None, _POINTER),
    "BaseAPICreate": (_POINTER,),
    "BaseAPIDelete": (None, _POINTER),
    "BaseAPIInit2": (_INT, _POINTER, _TEXT, _TEXT, _INT),
    "BaseAPISetVariable": (_INT, _POINTER, _TEXT, _TEXT),
    "BaseAPISetPageSegMode": (None, _POINTER, _INT),
    "BaseAPISetImage": (None, _POINTER, _TEXT, _INT, _INT, _INT, _INT),
    "BaseAPISetSourceResolution": (None, _POINTER, _INT),
    "BaseAPIRecognize": (_INT, _POINTER, _POINTER),
    "BaseAPIGetIterator": (_POINTER, _POINTER),
    "BaseAPIDetectOrientationScript": (
        _INT, _POINTER, _INTS, ctypes.POINTER(_FLOAT), ctypes.POINTER(_TEXT), ctypes.POINTER(_FLOAT)
    ),
    "ResultIteratorNext": (_INT, _POINTER, _INT),
    "ResultIteratorGetUTF8Text": (_POINTER, _POINTER, _INT),
    "ResultIteratorConfidence": (_FLOAT, _POINTER, _INT),
    "ResultIteratorGetPageIterator": (_POINTER, _POINTER),
    "PageIteratorIsAtFinalElement": (_INT, _POINTER, _INT, _INT),
    "ResultIteratorDelete": (None, _POINTER),
    "PageIteratorBoundingBox": (_INT, _POINTER, _INT, _INTS, _INTS, _INTS, _INTS),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Seen:
    """A word of a line.

    Attributes:
        text: Its text.
        score: Tesseract's confidence, 0 to 1: that in the worst of its letters.
        left: The left end, in pixels.
        right: The right end, in pixels.
        parted: Whether there is a space before it.  In scripts without spaces, and often in Korean,
            Tesseract's words are only a syllable or two.
        letters: The confidence on average over its letters, for print seldom below 0.95.
    """

    text: str
    score: float
    left: int
    right: int
    parted: bool
    letters: float = 0.0


@dataclass(frozen=True, slots=True)
class Orientation:
    """The orientation and script of a page.

    Attributes:
        degrees: How far it has to be turned clockwise to be upright: 0, 90, 180 or 270.
        sure: Tesseract's confidence in that: up to 1.4 for noise, 3 and more for print.
        script: Tesseract's name of the script.
        script_sure: Tesseract's confidence in the script.
    """

    degrees: int
    sure: float
    script: str
    script_sure: float


@functools.cache
def load() -> Any:
    """The library, with the types of its functions declared.

    Raises:
        EngineSetupError: The library is not installed.
    """
    for name in _SONAMES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        for call, (returned, *taken) in _CALLS.items():
            function = getattr(library, f"Tess{call}")
            function.restype, function.argtypes = returned, taken
        return library
    raise EngineSetupError(
        "Tesseract is not installed.",
        hint="sudo apt install tesseract-ocr, then systemctl restart ocrd.",
        kind="packages-missing",
    )


def version() -> str:
    """The library's version, such as `5.3.0`."""
    return str(load().TessVersion().decode())


class Tesseract:
    """One or more loaded models.

    Args:
        folder: The folder of the models.
        packs: The models' names, joined by `+`; `osd` detects a page's orientation.

    Raises:
        EngineSetupError: The models cannot be loaded.
    """

    def __init__(self, folder: Path, packs: str) -> None:
        self._library = load()
        self._handle = self._library.TessBaseAPICreate()
        model = _LEGACY if packs == "osd" else _LSTM
        if self._library.TessBaseAPIInit2(self._handle, bytes(folder), packs.encode(), model):
            raise EngineSetupError(
                f"Tesseract cannot load {packs} from {folder}.",
                hint="Install its packages anew: sudo apt install --reinstall "
                + " ".join(f"tesseract-ocr-{pack.replace('_', '-')}" for pack in packs.split("+")),
                kind="model-missing",
            )
        self._library.TessBaseAPISetVariable(self._handle, b"debug_file", b"/dev/null")
        self._library.TessBaseAPISetVariable(self._handle, b"preserve_interword_spaces", b"1")

    def line(self, grey: bytes, width: int, height: int) -> list[Seen]:
        """The words of one line, in reading order; `grey` has one byte per pixel."""
        self._show(grey, width, height, _SINGLE_LINE)
        if self._library.TessBaseAPIRecognize(self._handle, None):
            return []
        found = self._library.TessBaseAPIGetIterator(self._handle)
        if not found:
            return []
        try:
            return list(self._words(found))
        finally:
            self._library.TessResultIteratorDelete(found)

    def orientation(self, grey: bytes, width: int, height: int) -> Orientation | None:
        """The orientation and script of a page; None if there is too little print to tell."""
        self._show(grey, width, height, _ORIENTATION)
        turn, sure, script, script_sure = _INT(), _FLOAT(), _TEXT(), _FLOAT()
        told = [ctypes.byref(each) for each in (turn, sure, script, script_sure)]
        if not self._library.TessBaseAPIDetectOrientationScript(self._handle, *told):
            return None
        name = (script.value or b"").decode("ascii", "replace")
        return Orientation(-turn.value % 360, sure.value, name, script_sure.value)

    def _show(self, grey: bytes, width: int, height: int, layout: int) -> None:
        self._library.TessBaseAPISetPageSegMode(self._handle, layout)
        self._library.TessBaseAPISetImage(self._handle, grey, width, height, 1, width)
        self._library.TessBaseAPISetSourceResolution(self._handle, _DPI)

    def _words(self, found: int) -> Iterator[Seen]:
        """The words; only the text of the whole line shows which of them have a space between."""
        library, whole = self._library, self._said(found, _LINE)
        while True:
            text = self._said(found, _WORD).strip()
            score = library.TessResultIteratorConfidence(found, _WORD) / 100
            box = [_INT() for _ in range(4)]
            place = library.TessResultIteratorGetPageIterator(found)
            library.TessPageIteratorBoundingBox(place, _WORD, *map(ctypes.byref, box))
            letters, last = [], False
            while not last:
                letters.append(library.TessResultIteratorConfidence(found, _SYMBOL) / 100)
                last = library.TessPageIteratorIsAtFinalElement(place, _WORD, _SYMBOL)
                more = library.TessResultIteratorNext(found, _SYMBOL)
                last = last or not more
            if text:
                before, found_it, after = whole.partition(text)
                whole = after if found_it else whole
                parted = " " in before or not found_it
                average = sum(letters) / len(letters)
                yield Seen(text, score, box[0].value, box[2].value, parted, average)
            if not more:
                return

    def _said(self, found: int, level: int) -> str:
        said = self._library.TessResultIteratorGetUTF8Text(found, level)
        if not said:
            return ""
        text = ctypes.string_at(said).decode("utf-8", "replace")
        self._library.TessDeleteText(said)
        return text
