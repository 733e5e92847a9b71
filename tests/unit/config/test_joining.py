"""Contradictions between the keys that decide what is taken when, each with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.config import Folder, load
from ocrd.errors import ConfigError

MISTAKES = {
    "no regular expression": (
        "join = 'pattern'\njoin_pattern = '(?P<document>.+'",
        "is no regular expression",
        "single quotes",
    ),
    "no pattern": ("join = 'pattern'", "join_pattern: missing", "(?P<document>"),
    "no group document": (
        "join = 'pattern'\njoin_pattern = '.+_(?P<page>[0-9]+)'",
        "no group named 'document'",
        "(?P<document>",
    ),
    "no group page": (
        "join = 'pattern'\njoin_pattern = '(?P<document>.+)_[0-9]+'",
        "no group named 'page'",
        "(?P<page>",
    ),
    "a pattern that nobody asks": (
        "join = 'pause'\njoin_pattern = '(?P<document>.+)_(?P<page>[0-9]+)'",
        "join_pattern: has no meaning",
        'join = "pattern"',
    ),
    "a pause that nobody keeps": ("join_pause_s = 5", "join_pause_s: has no meaning", "join ="),
    "a marker of anything": ("done_marker = 'done'", "of which file", "{name}.done"),
    "a marker of something else": ("done_marker = '{file}.done'", "of which file", "{name}.done"),
    "a marker that is its file": ("done_marker = '{name}'", "their own markers", "{name}.done"),
    "a marker that may be its file": ("done_marker = '{stem}.pdf'", "own markers", "{name}.done"),
    "a marker elsewhere": ("done_marker = 'done/{name}'", "not the name of a file", "beside"),
    "a brace too many": ("done_marker = '{name}.{done'", "of which file", "no other braces"),
    "doubled braces": ("done_marker = '{name}.{{}}'", "of which file", "no other braces"),
}


def folder(tmp_path: Path, keys: str) -> Folder:
    file = tmp_path / "config.toml"
    file.write_text(f"root = '{tmp_path}'\n[[folder]]\nname = 'hall'\n{keys}", encoding="utf-8")
    found = load(file).folder("hall")
    assert found is not None
    return found


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_contradiction_is_told_with_its_folder_and_a_remedy(tmp_path: Path, mistake: str) -> None:
    keys, said, remedy = MISTAKES[mistake]
    with pytest.raises(ConfigError) as caught:
        folder(tmp_path, keys)
    assert "folder 'hall'" in caught.value.message
    assert said in caught.value.message
    assert remedy in caught.value.hint


@pytest.mark.parametrize("marker", ["{name}.done", "{stem}.ok", ".{stem}", "{name}~{stem}.xml"])
def test_a_marker_that_can_be_told_from_its_file_is_taken(tmp_path: Path, marker: str) -> None:
    assert folder(tmp_path, f"done_marker = '{marker}'").done_marker == marker


def test_the_example_in_the_remedy_is_a_pattern_that_works(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        folder(tmp_path, "join = 'pattern'")
    example = caught.value.hint[caught.value.hint.index("join_pattern") :].rstrip(".")
    assert folder(tmp_path, f"join = 'pattern'\n{example}").join == "pattern"
