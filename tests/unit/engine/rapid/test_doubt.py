"""Which letters make a page one that the embedded engine cannot read, and what is advised then."""

from __future__ import annotations

import pytest

from ocrd.engine.rapid import doubt
from ocrd.engine.rapid.lines import Pose
from ocrd.engine.rapid.reader import Reading
from ocrd.page import PageImage
from tests.unit.layout.printed import piece

ENGLISH = ("The boats leave the water before the first of November.",) * 4
PAGE = PageImage(1, 1, bytes(3))


def doubted(monkeypatch: pytest.MonkeyPatch, *lines: str, script: str = "Latin") -> str | None:
    """What is said of lines that were read well, on a page that Tesseract takes for a script."""
    monkeypatch.setattr(doubt, "_script", lambda _image: script)
    pieces = tuple(piece(line, 50, 50 + 25 * n) for n, line in enumerate(lines))
    reading = Reading(pieces, (), Pose(1000, 1000, 0, 0.0), 0, 0.0, (), 0.98, 0.9, ink=True)
    return doubt.doubt(reading, PAGE, "")


@pytest.mark.parametrize(
    "formula",
    [
        "∂ψ/∂t = −∇φ + λ·θ(ξ, µ, ν) + ρσ − Ωτ",  # noqa: RUF001 - Greek
        "□ψ/t = □0φ + λ·θ(ξ, µ, ν) + ρσ α Ωτ",  # noqa: RUF001 - as it is read
        "Φ(α, β, γ, δ) = Ψ(λ, µ, π, σ, τ, ω)",  # noqa: RUF001 - Greek
        "α β γ δ ε ζ η θ ι κ λ μ",  # noqa: RUF001 - Greek
    ],
)
@pytest.mark.parametrize("text", [ENGLISH, ()], ids=["in a text", "alone"])
def test_letters_of_formulas_are_no_script(
    monkeypatch: pytest.MonkeyPatch, formula: str, text: tuple[str, ...]
) -> None:
    assert doubted(monkeypatch, formula, *text) is None


@pytest.mark.parametrize(
    "line",
    [
        "α σφη πυ δεν χησιιονται τ χεινα πτπει",  # noqa: RUF001 - as Greek is read
        "Начальник гавани напоминает всем",
        "يجب إخراج القوارب التي لا تستعمل",
    ],
    ids=["Greek", "Russian", "Arabic"],
)
def test_no_language_in_latin_letters_is_advised_for_another_script(
    monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    said = doubted(monkeypatch, line, *ENGLISH)
    assert said is not None
    assert 'language = "ru"' in said
    assert "Latin: " not in said


def test_the_languages_of_the_other_script_are_advised(monkeypatch: pytest.MonkeyPatch) -> None:
    said = doubted(monkeypatch, "τα σκάφη που δεν πρέπει", script="Greek")
    assert said is not None
    assert 'language = "el" (or grc)' in said
