"""Languages are known by the codes that people know."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.errors import ConfigError
from ocrd.languages import LANGUAGES, languages


@pytest.mark.parametrize(
    ("given", "packs"),
    [
        ("ru", ["rus"]),
        ("RUS", ["rus"]),
        ("de+fr", ["deu", "fra"]),
        ("ger + fre", ["deu", "fra"]),
        ("de+deu+de-AT", ["deu"]),
        ("pt-BR", ["por"]),
        ("zh", ["chi_sim"]),
        ("zh-Hant", ["chi_tra"]),
        ("zh_TW", ["chi_tra"]),
        ("chi_tra", ["chi_tra"]),
        ("sr-Latn", ["srp_latn"]),
        ("", []),
    ],
)
def test_a_code_names_a_model(given: str, packs: list[str]) -> None:
    assert [each.pack for each in languages(given)] == packs


@pytest.mark.parametrize("given", ["klingon", "de+", "de,fr"])
def test_what_is_no_code_is_told(given: str) -> None:
    with pytest.raises(ConfigError) as told:
        languages(given)
    assert '"de+fr"' in told.value.hint


@pytest.mark.parametrize(("reader", "by_rapidocr"), [("RapidOCR", True), ("Tesseract", False)])
def test_the_documents_name_them_all(reader: str, by_rapidocr: bool) -> None:
    text = Path(__file__).parents[3].joinpath("docs/formats.md").read_text(encoding="utf-8")
    _, _, listed = next(
        line for line in text.split("\n") if line.startswith(f"| {reader} |")
    ).partition(" | ")
    codes = {each.code for each in LANGUAGES if each.by_rapidocr is by_rapidocr}
    assert set(listed.strip("| ").split(" ")) == codes
