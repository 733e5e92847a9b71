"""`ocrd demo` writes over nothing that somebody else has made."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.cli.demo import SAMPLES, prepare
from ocrd.errors import UsageError


def test_a_second_demo_keeps_what_was_changed_since_the_first(tmp_path: Path) -> None:
    config = prepare(tmp_path / "scans")
    changed = config.read_text() + "\n[web]\nport = 8485\n"
    config.write_text(changed)
    letter = config.parent / "inbox/scans/letter.jpg"
    letter.write_bytes(b"a letter of mine")
    (config.parent / "inbox/scans/report.pdf").unlink()
    prepare(tmp_path / "scans")
    assert config.read_text() == changed
    assert letter.read_bytes() == b"a letter of mine"
    assert {each.name for each in letter.parent.iterdir()} == set(SAMPLES)


@pytest.mark.parametrize("name", ["config.toml", "notes.txt"])
def test_a_folder_with_something_else_in_it_is_refused_and_left(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('root = "/srv/ocrd"\n')
    with pytest.raises(UsageError):
        prepare(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == 'root = "/srv/ocrd"\n'
