"""The order in which a line is printed, as Unicode's bidirectional algorithm has it (UAX #9).

Capitals stand for Hebrew letters, as in the annex's own examples.
"""

from __future__ import annotations

import pytest

from ocrd.document.placing import visual

HEBREW = {chr(ord("A") + index): chr(0x05D0 + index) for index in range(26)}


def hebrew(text: str) -> str:
    return "".join(HEBREW.get(char, char) for char in text)


@pytest.mark.parametrize(
    ("said", "printed"),
    [
        ("car means CAR.", "car means RAC."),
        ("CAR MEANS car.", ".car SNAEM RAC"),
        ("abc 123", "abc 123"),
        ("ABC 123 DEF", "FED 123 CBA"),
        ("ABC 1,250.75 DEF", "FED 1,250.75 CBA"),
        ("abc ABC 123 def", "abc 123 CBA def"),
        ("A-B", "B-A"),
        ('he said "IT IS" ok', 'he said "SI TI" ok'),
        ("123", "123"),
        ("", ""),
    ],
)
def test_a_line_is_printed_as_unicode_says(said: str, printed: str) -> None:
    assert visual(hebrew(said)) == hebrew(printed)
