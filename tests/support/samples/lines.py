"""Breaks paragraphs into lines.  Pure: the width of a piece of text is handed in.

Latin text breaks at spaces and at the sign ‧, Chinese before any character but punctuation.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

BREAK = "\u2027"  # a hyphenation point, as dictionaries print it
FIRST_WIDE = "\u2e80"  # where the CJK blocks of Unicode begin


def bare(text: str) -> str:
    """The text without its hyphenation points."""
    return text.replace(BREAK, "")


def broken(text: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """The paragraph's lines, none wider than `width` if its atoms are not.

    A hyphen is printed where a line ends at a hyphenation point, and only there.
    """
    lines = [""]
    for atom in _atoms(text):
        head, tail = _fitting(lines[-1], atom, width, measure)
        lines[-1] += head
        if tail:
            lines.append(tail)
    return [line.rstrip() for line in lines if line.strip()]


def _fitting(
    line: str, atom: str, width: float, measure: Callable[[str], float]
) -> tuple[str, str]:
    """What of the atom fits behind the line, and what is left for the next."""
    if measure(line + bare(atom).rstrip()) <= width:
        return bare(atom), ""
    syllables = atom.split(BREAK)
    for count in range(len(syllables) - 1, 0, -1):
        head = "".join(syllables[:count]) + "-"
        if measure(line + head) <= width:
            return head, "".join(syllables[count:])
    return "", bare(atom)


def _atoms(text: str) -> list[str]:
    """The pieces that may begin a line, each with the space that follows it."""
    atoms: list[str] = [""]
    for char in text:
        wide = char >= FIRST_WIDE and not unicodedata.category(char).startswith("P")
        if wide or atoms[-1].endswith(" ") or (atoms[-1][-1:] >= FIRST_WIDE and char.isalnum()):
            atoms.append("")
        atoms[-1] += char
    return atoms
