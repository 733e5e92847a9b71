"""The languages that a folder's `language` may name, and what recognises them.  Pure.

A language is named by its BCP 47 tag or ISO 639 code (`ru`, `rus`, `zh-Hant`, `pt-BR`); several of
one page are joined by `+` (`de+fr`), with the most frequent first.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from ocrd.errors import ConfigError

# Each language's code and the name of Tesseract's model, by script.  Those marked are read better
# by PP-OCRv6, the model in RapidOCR's wheel.  It lacks letters of Vietnamese, and confuses a few
# of Turkish, Czech, Slovak and some others.
_KNOWN = """
Latin by RapidOCR: en eng, de deu, fr fra, es spa, it ita, pt por, nl nld, pl pol, sl slv, hr hrv
Latin by RapidOCR: bs bos, sr-Latn srp_latn, ro ron, sv swe, da dan, no nor, fi fin, et est, ga gle
Latin by RapidOCR: lt lit, ca cat, gl glg, eu eus, oc oci, sq sqi, lb ltz, la lat, af afr, id ind
Latin by RapidOCR: ms msa, fil fil, sw swa
Latin: vi vie, tr tur, cs ces, sk slk, hu hun, lv lav, is isl, cy cym, az aze, br bre, ceb ceb
Latin: co cos, eo epo, fo fao, fy fry, gd gla, ht hat, jv jav, mi mri, mt mlt, qu que, su sun
Latin: to ton, uz uzb, yo yor
Cyrillic: ru rus, uk ukr, be bel, bg bul, sr srp, mk mkd, kk kaz, ky kir, mn mon, tg tgk, tt tat
Cyrillic: az-Cyrl aze_cyrl, uz-Cyrl uzb_cyrl
Greek: el ell, grc grc
Hangul: ko kor
Arabic: ar ara, fa fas, ur urd, ku kmr, ps pus, sd snd, ug uig
Hebrew: he heb, yi yid
Devanagari: hi hin, mr mar, ne nep, sa san
Thai: th tha
Han by RapidOCR: zh-Hans chi_sim, zh-Hant chi_tra
Japanese by RapidOCR: ja jpn
Armenian: hy hye
Bengali: bn ben, as asm
Cherokee: chr chr
Ethiopic: am amh, ti tir
Georgian: ka kat
Gujarati: gu guj
Gurmukhi: pa pan
Kannada: kn kan
Khmer: km khm
Lao: lo lao
Malayalam: ml mal
Myanmar: my mya
Oriya: or ori
Sinhala: si sin
Syriac: syr syr
Tamil: ta tam
Telugu: te tel
Thaana: dv div
Tibetan: bo bod, dz dzo
"""
_ALSO = {  # ISO 639-2's bibliographic codes, older and regional tags, and other names in use
    "alb": "sq", "arm": "hy", "baq": "eu", "bur": "my", "chi": "zh-hans", "cze": "cs", "dut": "nl",
    "fre": "fr", "geo": "ka", "ger": "de", "gre": "el", "ice": "is", "iw": "he", "ji": "yi",
    "mac": "mk", "may": "ms", "nb": "no", "nn": "no", "nob": "no", "nno": "no", "per": "fa",
    "rum": "ro", "slo": "sk", "tib": "bo", "tl": "fil", "wel": "cy", "zh": "zh-hans",
    "zho": "zh-hans", "zh-cn": "zh-hans", "zh-sg": "zh-hans", "zh-hk": "zh-hant",
    "zh-mo": "zh-hant", "zh-tw": "zh-hant",
}  # fmt: skip
_RIGHT_TO_LEFT = frozenset({"Arabic", "Hebrew", "Syriac", "Thaana"})
_WITHOUT_SPACES = frozenset({"Han", "Japanese", "Khmer", "Lao", "Myanmar", "Thai", "Tibetan"})


@dataclass(frozen=True, slots=True)
class Language:
    """A language of print.

    Attributes:
        code: Its BCP 47 tag.
        pack: The name of Tesseract's model.
        script: The script it is written in.
        by_rapidocr: Whether the model in RapidOCR's wheel reads it better than Tesseract's.
    """

    code: str
    pack: str
    script: str
    by_rapidocr: bool

    @property
    def package(self) -> str:
        """The Debian package with Tesseract's model."""
        return f"tesseract-ocr-{self.pack.replace('_', '-')}"

    @property
    def right_to_left(self) -> bool:
        """Whether lines begin on the right."""
        return self.script in _RIGHT_TO_LEFT

    @property
    def spaced(self) -> bool:
        """Whether words are separated by spaces."""
        return self.script not in _WITHOUT_SPACES


def _table() -> Iterator[Language]:
    for row in filter(None, _KNOWN.split("\n")):
        head, entries = row.split(": ")
        script, by_rapidocr, _ = head.partition(" by RapidOCR")
        for entry in entries.split(", "):
            code, pack = entry.split()
            yield Language(code, pack, script, bool(by_rapidocr))


LANGUAGES = tuple(_table())
_CODES = [each.code for each in LANGUAGES]
_BY_NAME = {name.lower(): each for each in LANGUAGES for name in (each.pack, each.code)}
_BY_NAME |= {name: _BY_NAME[code] for name, code in _ALSO.items()}


def languages(given: str) -> tuple[Language, ...]:
    """The languages that a folder's `language` names, each once; empty if it names none.

    A tag with an unknown region or variant stands for its language: `pt-BR` is `pt`.

    Raises:
        ConfigError: A name is not known.
    """
    found = {}
    for name in given.split("+") if given else ():
        tag = name.strip().replace("_", "-").lower()
        named = _BY_NAME.get(name.strip().lower()) or _BY_NAME.get(tag)
        named = named or _BY_NAME.get(tag.partition("-")[0])
        if named is None:
            raise ConfigError(
                f"{name.strip()!r} is no language that is known here",
                hint='Name it by its code (BCP 47 or ISO 639), several joined by "+": '
                f'language = "ru", "de+fr", "zh-Hant".  Known: {", ".join(_CODES)}.',
            )
        found[named.code] = named
    return tuple(found.values())


def canonical(given: str) -> str:
    """A folder's `language` with each language given by its usual code.

    Raises:
        ConfigError: A name is not known.
    """
    return "+".join(each.code for each in languages(given))


def of_script(script: str) -> tuple[Language, ...]:
    """The languages written in a script, the most common first."""
    return tuple(each for each in LANGUAGES if each.script == script)


def has_leftward(text: str) -> bool:
    """Whether the text has a letter of a script that runs from right to left."""
    return not text.isascii() and any(
        unicodedata.bidirectional(char) in ("R", "AL") for char in text
    )
