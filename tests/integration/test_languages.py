"""Two folders of one daemon, one of which says in which language its pages are printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.commands import ocrd
from tests.support.needs import needs, slow
from tests.support.scripts import UNKNOWN
from tests.unit.engine.test_rapid import wrong

RUSSIAN = UNKNOWN[0]


@slow  # tests/unit/engine/tesseract reads the same page
@needs("tesseract", "tesseract-languages", "fonts")
def test_the_folder_with_a_language_reads_and_the_other_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        f'root = "{tmp_path}"\n[watch]\nsettle_s = 0\n'
        '[engine]\nkind = "rapidocr"\nworkers = 1\nthreads = 1\n'
        '[[folder]]\nname = "letters"\nlanguage = "ru"\n'
        '[[folder]]\nname = "others"\nupright = true\n',
        encoding="utf-8",
    )
    page = RUSSIAN.drawn()
    image = Image.frombytes("RGB", (page.width, page.height), page.rgb)
    for folder in ("letters", "others"):
        (tmp_path / "inbox" / folder).mkdir(parents=True)
        image.save(tmp_path / "inbox" / folder / "a.png", dpi=(200, 200))
    ran = ocrd("run", "--once", "--config", str(tmp_path / "config.toml"))
    assert ran.returncode == 0, ran.stderr

    def sidecar(folder: str) -> Any:
        file = tmp_path / "outbox" / folder / "a" / "a.json"
        return json.loads(file.read_text(encoding="utf-8"))

    text = (tmp_path / "outbox" / "letters" / "a" / "a.md").read_text(encoding="utf-8")
    assert wrong(text, RUSSIAN.text) <= 0.02
    read, unread = sidecar("letters"), sidecar("others")
    assert (read["engine"], read["language"]) == ("tesseract", "ru")
    assert "rus" in read["model"]
    assert read["pages"][0]["state"] == "done"
    assert (unread["engine"], unread["language"]) == ("rapidocr", None)
    assert unread["pages"][0]["state"] == "partial"
    assert 'language = "ru"' in json.dumps(unread["pages"][0], ensure_ascii=False).replace("\\", "")


@needs("tesseract", "tesseract-languages")
@pytest.mark.parametrize(("language", "found"), [("ru", "ru: Tesseract"), ("de", "de: PP-OCR")])
def test_the_doctor_says_who_reads_a_folder(tmp_path: Path, language: str, found: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        f'root = "{tmp_path}"\n[engine]\nkind = "rapidocr"\n[[folder]]\nname = "letters"\n'
        f'language = "{language}"\n',
        encoding="utf-8",
    )
    said = ocrd("doctor", "--config", str(config)).stdout
    assert found in said
