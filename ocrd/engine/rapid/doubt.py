"""Detects pages whose text was probably not read correctly, and says what to do about them.

A recogniser reads some text into any print.  If it does not know a script, it reads lines with
little confidence or too few characters for their length, and finds letters of other scripts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from ocrd.engine import osd
from ocrd.engine.tesseract import packs
from ocrd.languages import Language, languages, of_script
from ocrd.page import PageImage
from ocrd.tone import pillow

if TYPE_CHECKING:
    from ocrd.engine.rapid.reader import Reading

MOST_UNREAD = 0.2  # of the print
MOST_FOREIGN = 0.3  # of the letters
LONG = 12  # letters: a single line with so many, mostly foreign, is enough
WORD = 3  # letters in a row that count as foreign; those in formulas are single
KNOWN = frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "FULLWIDTH"})
SCRIPTS = "Latin letters, Chinese and Japanese"  # those that RapidOCR's model knows
TELLTALE = {"vi": "ơưƠƯ", "tr": "ığİ"}  # letters that hardly any other language has
LEAST_TELLING = 0.01  # of the letters
SCRIPT_SURE = 1.0  # Tesseract's confidence; a script that it gets wrong has 0.6
EXAMPLES = 4  # at most so many languages of a script are named
_SCRIPTS = {"Korean": "Hangul"}  # Tesseract's names that are not the usual ones


def doubt(reading: Reading, image: PageImage, language: str) -> str | None:
    """What is wrong with a page whose print was not read, or read badly; None if it is fine."""
    what = _unread(reading, language)
    if what is not None:
        return f"{what}; {_remedy(image, language, strange=_strange(reading))}"
    if not language and telltale(reading) == "vi":
        return f"it looks Vietnamese, and most accents are lost; {_set(languages('vi'))}"
    return None


def telltale(reading: Reading) -> str | None:
    """The language whose telltale letters are frequent in the text; None if there is none."""
    text = "".join(piece.text for piece in reading.pieces)
    letters = sum(map(str.isalpha, text))
    for language, rare in TELLTALE.items():
        if sum(map(text.count, rare)) > LEAST_TELLING * letters:
            return language
    return None


def _unread(reading: Reading, language: str) -> str | None:
    if not reading.pieces:
        return "something is printed on it, but no word could be read" if reading.ink else None
    if reading.unread > MOST_UNREAD:
        return f"{reading.unread:.0%} of its print could not be read"
    if not language and _strange(reading):
        return "print on it is in a script of which the embedded engine knows a few letters only"
    if reading.confidence < reading.least_sure:
        return f"its print was read with a confidence of {reading.confidence:.2f} only"
    return None


def _strange(reading: Reading) -> bool:
    """Whether a long line, or much of the page, is in a script that the model does not know."""
    texts = [piece.text for piece in reading.pieces]
    lines = [text for text in texts if sum(map(str.isalpha, text)) >= LONG]
    return _foreign(texts) > MOST_FOREIGN or any(_foreign([line]) > 1 / 2 for line in lines)


def _foreign(texts: Sequence[str]) -> float:
    """The share of letters in words of scripts that the model does not know."""
    runs = [(it, len([*run])) for text in texts for it, run in groupby(text, _is_foreign)]
    letters = sum(char.isalpha() for text in texts for char in text)
    return sum(length for it, length in runs if it and length >= WORD) / max(1, letters)


def _is_foreign(char: str) -> bool:
    return char.isalpha() and unicodedata.name(char, "").split(" ")[0] not in KNOWN


def _remedy(image: PageImage, language: str, *, strange: bool) -> str:
    """What to set, and to install, for such a page; if it is `strange`, its script is not Latin."""
    script = _script(image)
    told = {each.script for each in languages(language)} | ({"Latin"} if strange else set())
    known = of_script(script) if script not in told else ()
    known = tuple(each for each in known if not each.by_rapidocr)
    if known:
        return f"Tesseract takes it for {script}: {_set(known)}"
    if language:
        return (
            f'the folder has language = "{language}": name all languages of its pages, joined by '
            "+; handwriting and faint print need a model that reads them (engine.kind vllm)"
        )
    return (
        f"the embedded engine reads {SCRIPTS} by itself; where the print is in another script, "
        f"Russian for one, {_set(languages('ru'))}; handwriting and faint print need a model that "
        "reads them (engine.kind vllm)"
    )


def _set(known: tuple[Language, ...]) -> str:
    """The setting for the first language, the names of others, and the packages to install."""
    first, *others = known[:EXAMPLES]
    names = f" (or {', '.join(each.code for each in others)})" if others else ""
    lacking = packs.missing([first])
    install = f", after {lacking.hint.partition(',')[0]}" if lacking else ""
    return f'set the folder\'s language = "{first.code}"{names}{install}'


def _script(image: PageImage) -> str:
    """The script of the page; empty if Tesseract cannot tell."""
    seen = osd.look(pillow(image)) if osd.installed() else None
    if seen is None or seen.script_sure < SCRIPT_SURE:
        return ""
    return _SCRIPTS.get(seen.script, seen.script)
