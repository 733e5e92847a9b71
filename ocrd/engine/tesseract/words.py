"""The words of a line: their confidence, their order, and their Unicode form.  Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter

from ocrd.engine.tesseract.library import Seen
from ocrd.languages import has_leftward

SARA_AM = "\u0e33"  # a Thai vowel; Tesseract knows only its two halves
LEAST_WORD = 3  # letters: noise is read as no more
FEW_BREATHINGS = 3
_LOWER_TONES = "\u0e48\u0e49\u0e4a\u0e4b"
_STOPS = re.compile("(?<=[\u0620-\u06ff])[,;?]")  # behind an Arabic letter
_ARABIC_STOPS = {",": "\u060c", ";": "\u061b", "?": "\u061f"}
_ACUTE = "\u0301"
_IOTA_BELOW = "\u0345"
_GRAVE = re.compile("(?<=[\u0391-\u03c9\u0313\u0314\u0308])[\u0300\u0342]")  # or circumflex
_BREATHING = re.compile("[\u0313\u0314]")
_VOWELS = "αεηιουω"
_SYLLABLE = re.compile("[αεου]ι|[αεηο]υ|[αεηιουω]")  # noqa: RUF001 - all of it Greek
_GREEK = re.compile("[\u0370-\u03ff\u1f00-\u1fff]")
_NUMERO = re.compile("[M\u041c][eo\u0435\u043e]|N[eo\u0435\u043e]")  # Latin or Cyrillic letters
_AROUND = "()«»„“”\"'.,:;!?…·\u060c\u061b\u061f"
_ENDS = ".,:;!?…\u060c\u061b\u061f"
_ENDING = re.compile(f"[{_ENDS}]+")


@dataclass(frozen=True, slots=True)
class Said:
    """A word of a line.

    Attributes:
        text: Its text.
        start: Where it begins, as a fraction of the crop's length.
        end: Where it ends, likewise.
        score: The recogniser's confidence, on average over characters.
        least: The lowest confidence of a part of the word.
    """

    text: str
    start: float
    end: float
    score: float
    least: float


def mean(seen: Iterable[Seen | Said]) -> float:
    """The recogniser's confidence, on average over characters; 0 if there are none."""
    scores = [(word.score, len(word.text)) for word in seen]
    return sum(score * count for score, count in scores) / max(1, sum(n for _, n in scores))


def latin_letters(text: str) -> int:
    """The number of Latin letters in the text."""
    return sum(unicodedata.name(char, "").startswith("LATIN ") for char in text)


def placed(seen: Sequence[Seen], *, mirrored: bool) -> list[Seen]:
    """The words as Tesseract ordered them, none of which spans the one beside it.

    Tesseract may count a stroke of one word into the box of another, far away.  In a line that
    begins on the right, words of other scripts may be in any place, and are kept.
    """
    done = list(seen[:1])
    for word in seen[1:]:
        before = done[-1]
        if not mirrored or (has_leftward(before.text) and has_leftward(word.text)):
            if word.left < before.left and before.right < word.right:
                ends = (word.left, before.left) if mirrored else (before.right, word.right)
                word = replace(word, left=ends[0], right=ends[1])
            elif before.left < word.left and word.right < before.right:
                ends = (word.right, before.right) if mirrored else (before.left, word.left)
                done[-1] = replace(before, left=ends[0], right=ends[1])
        done.append(word)
    return done


def in_order(said: Iterable[Said]) -> list[Said]:
    """The words of a right-to-left line in reading order; Latin words in it go left to right.

    A number to the right of a Latin word belongs to it.  A line with only Latin words begins on the
    left.  The marks that end Latin words are set to their left, as those that end the line are.
    """
    ordered: list[Said] = []
    run: list[Said] = []
    for word in [*sorted(said, key=attrgetter("start")), None]:
        if word is not None and not has_leftward(word.text):
            run.append(word)
            continue
        last = max((n for n, each in enumerate(run, 1) if latin_letters(each.text)), default=0)
        last = len(run) if last and word is None and not ordered else last
        ordered += [*_marked([*reversed(run[:last])]), *run[last:]]
        ordered += [word] if word is not None else []
        run = []
    return ordered


def _marked(latin: list[Said]) -> list[Said]:
    """Latin words in reading order, with the marks before the first one behind the last one."""
    marks = _ENDING.match(latin[0].text) if latin else None
    if marks is None or latin[-1].text[-1] in _ENDS:
        return latin
    latin[0] = replace(latin[0], text=latin[0].text[marks.end() :])
    latin[-1] = replace(latin[-1], text=latin[-1].text + marks[0])
    return [word for word in latin if word.text]


def is_word(text: str, scripts: Collection[str]) -> bool:
    """Whether a text is a word in one of the scripts, perhaps with a mark before or behind it."""
    letters = [char for char in text.strip(_AROUND) if unicodedata.category(char)[0] != "M"]
    names = tuple(script.upper() for script in scripts)
    return len(letters) >= LEAST_WORD and all(
        char.isalpha() and unicodedata.name(char, "").startswith(names) for char in letters
    )


def numbered(said: Sequence[Said]) -> list[Said]:
    """The words with the sign № and dashes for what Tesseract's models read in their place.

    The Ukrainian model does not know №.
    """
    mended = list(said)
    for place, (word, behind) in enumerate(pairwise([*said, None])):
        if word is not None and word.text == "--":
            mended[place] = replace(word, text="\N{EN DASH}")
        elif word and behind and _NUMERO.fullmatch(word.text) and behind.text[0].isdigit():
            mended[place] = replace(word, text="\N{NUMERO SIGN}")
    return mended


def is_polytonic(words: Iterable[str]) -> bool:
    """Whether Greek has breathings: most words that begin with a vowel, and not only a few."""
    begun = [unicodedata.normalize("NFD", word.strip(_AROUND)).lower() for word in words]
    begun = [word for word in begun if word[:1] and word[0] in _VOWELS]
    breathing = sum(_BREATHING.search(word) is not None for word in begun)
    return breathing >= FEW_BREATHINGS and breathing > len(begun) / 2


def monotonic(word: str) -> str:
    """A Greek word as it is written today: without breathings, and with one kind of accent.

    Tesseract takes the accent at the beginning of a word for a breathing.
    """
    if not _GREEK.search(word):
        return word
    apart = _GRAVE.sub(_ACUTE, unicodedata.normalize("NFD", word).replace(_IOTA_BELOW, ""))
    bare = _BREATHING.sub("", apart)
    if _ACUTE not in bare and len(_SYLLABLE.findall(bare.lower())) > 1:
        bare = _BREATHING.sub(_ACUTE, apart, count=1)
    return unicodedata.normalize("NFC", bare)


def composed(text: str) -> str:
    """The text in Unicode's composed form (NFC, and Thai's sara am), with its script's own marks.

    Tesseract reads the comma of Arabic as the Latin one.
    """
    text = unicodedata.normalize("NFC", text)
    if _GREEK.search(text):
        text = text.replace("\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}")
    text = _STOPS.sub(lambda stop: _ARABIC_STOPS[stop[0]], text)
    return "".join(_composed(text))


def _composed(text: str) -> Iterator[str]:
    """`น ้ ํ า` composed to `น ้ ำ`; the upper of two tone marks is a misread ring, its first half."""
    for place, char in enumerate(text):
        before, after = text[place - 1 : place], text[place + 1 : place + 2]
        ring = char == "\u0e4d" or (char in _LOWER_TONES and before and before in _LOWER_TONES)
        if ring and after == "\u0e32":
            continue
        after_ring = before == "\u0e4d" or (
            place > 1 and before in _LOWER_TONES and text[place - 2] in _LOWER_TONES
        )
        yield SARA_AM if char == "\u0e32" and after_ring else char
