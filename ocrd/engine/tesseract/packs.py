"""Finds the installed parts of Tesseract: the library, and a model for each language."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

from ocrd.engine.tesseract import library
from ocrd.errors import EngineSetupError
from ocrd.languages import Language

_DEBIAN = "/usr/share/tesseract-ocr"  # a folder for each version
_ELSEWHERE = ("/usr/share/tessdata", "/usr/share/tesseract/tessdata")


def folder() -> Path:
    """The folder of the models, even if there is none yet; below /usr, where children may read."""
    versions = sorted(Path(_DEBIAN).glob("*/tessdata"))
    places = [*versions[-1:], *map(Path, _ELSEWHERE)]
    return next((place for place in places if place.is_dir()), places[0])


def model(pack: str) -> Path:
    """The path of a model's file, even if it is not installed."""
    return folder() / f"{pack}.traineddata"


def installed(pack: str = "") -> bool:
    """Whether the library is installed, and the model if one is named."""
    try:
        library.load()
    except EngineSetupError:
        return False
    return not pack or model(pack).is_file()


def missing(languages: Sequence[Language]) -> EngineSetupError | None:
    """The error for the packages that these languages need and lack; None if there are none."""
    if not languages:
        return None
    packages = [] if installed() else ["tesseract-ocr"]
    packages += [each.package for each in languages if not model(each.pack).is_file()]
    if not packages:
        return None
    codes = "+".join(each.code for each in languages)
    return EngineSetupError(
        f"language {codes!r} needs Tesseract and its models, of which there is no "
        f"{', '.join(packages)}.",
        hint=f"sudo apt install {' '.join(packages)}, then systemctl restart ocrd.",
        kind="packages-missing",
    )


def described(languages: Sequence[Language]) -> str:
    """The versions of library and models, such as `Tesseract 5.3.0 (rus 681be2c2)`."""
    if missing(languages):
        return "Tesseract (not installed)"
    named = (f"{each.pack} {_digest(model(each.pack))}" for each in languages)
    return f"Tesseract {library.version()} ({', '.join(named)})"


def _digest(file: Path) -> str:
    status = file.stat()
    return _digest_of(file, status.st_mtime_ns, status.st_size)


@functools.lru_cache
def _digest_of(file: Path, _mtime_ns: int, _size: int) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:8]
