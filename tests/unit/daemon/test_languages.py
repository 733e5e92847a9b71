"""A folder's language is checked before the daemon starts, and its results never mix."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ocrd.config import Config, load
from ocrd.daemon.engines import check_languages, missing_packages
from ocrd.engine.tesseract import library, packs
from ocrd.errors import ConfigError
from ocrd.worker.pages import recipe


def configured(root: Path, engine: str = "", folder: str = "") -> Config:
    file = root / "config.toml"
    file.write_text(
        f'root = "{root}"\n[engine]\nkind = "rapidocr"\n{engine}\n[[folder]]\nname = "letters"\n'
        f"{folder}\n",
        encoding="utf-8",
    )
    return load(file)


@pytest.mark.parametrize(
    ("engine", "folder", "language"),
    [
        ("", "", ""),
        ('language = "rus"', "", "ru"),
        ('language = "ru"', 'language = "de+fr"', "de+fr"),
        ('language = "ru"', 'language = ""', ""),
    ],
)
def test_a_folder_has_its_own_language_or_the_engines(
    tmp_path: Path, engine: str, folder: str, language: str
) -> None:
    assert configured(tmp_path, engine, folder).folders[0].language == language


def test_an_unknown_language_is_a_mistake_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as told:
        configured(tmp_path, folder='language = "russian"')
    assert "folder 'letters': language: 'russian'" in told.value.message
    assert 'language = "ru"' in told.value.hint


def test_a_language_without_its_model_is_refused_with_the_command_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "folder", lambda: tmp_path)
    config = configured(tmp_path, folder='language = "ru+uk"')
    with pytest.raises(ConfigError) as told:
        check_languages(config)
    assert "'letters'" in told.value.message
    assert "tesseract-ocr-rus tesseract-ocr-ukr, then" in told.value.hint
    check_languages(configured(tmp_path, folder='language = "de"'))


@pytest.mark.parametrize("folder", ["", 'language = "de+fr"'])
def test_what_rapidocr_reads_needs_no_tesseract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setattr(library, "_SONAMES", ("no-such-library.so",))
    library.load.cache_clear()
    try:
        assert not packs.installed()
        config = configured(tmp_path, folder=folder)
        check_languages(config)
        assert missing_packages(config) is None
        with pytest.raises(ConfigError, match="tesseract-ocr"):
            check_languages(configured(tmp_path, folder='language = "ru"'))
    finally:
        library.load.cache_clear()


def test_results_in_one_language_are_not_those_in_another(tmp_path: Path) -> None:
    folder = configured(tmp_path).folders[0]
    engine = SimpleNamespace(named=lambda _language: ("e", "m"))
    parts = cast(Any, SimpleNamespace(engine=engine, dpi=200, reuse_results=True))
    plain = cast(Any, SimpleNamespace(order=None))
    keys = {
        recipe(parts, cast(Any, None), folder.model_copy(update={"language": language}), plain)
        for language in ("", "ru", "ru+en")
    }
    assert len(keys) == 3


def test_what_a_done_job_is_told_to_do_has_its_file_read_anew(tmp_path: Path) -> None:
    folder = configured(tmp_path).folders[0]
    engine = SimpleNamespace(named=lambda _language: ("e", "m"))
    plain = cast(Any, SimpleNamespace(order=None))
    jobs = [cast(Any, SimpleNamespace(token=token)) for token in ("first", "again")]
    for reuse_results, keys in ((True, 1), (False, 2)):
        parts = cast(Any, SimpleNamespace(engine=engine, dpi=200, reuse_results=reuse_results))
        assert len({recipe(parts, job, folder, plain) for job in jobs}) == keys
