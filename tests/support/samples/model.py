"""A sample: a file that looks like a scan, and the truth about what is printed on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ocrd.page import Box


@dataclass(frozen=True, slots=True)
class TrueWord:
    """A word as printed, and the box around its ink on the page as a viewer shows it."""

    text: str
    box: Box


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplePage:
    """The truth about one page.

    Attributes:
        text: What a person would copy out: paragraphs in reading order parted by blank lines, words
            broken at line ends made whole, the cells of a table row on one line.
        words: Every word as printed, in reading order; broken words as their two parts.
    """

    text: str
    words: tuple[TrueWord, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A written sample: where it lies, what it shows, and the truth about each of its pages."""

    path: Path
    title: str
    pages: tuple[SamplePage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """One page as an image file in memory.

    Attributes:
        data: The file: JPEG, PNG or TIFF.
        page: The truth about it.
    """

    data: bytes
    page: SamplePage
