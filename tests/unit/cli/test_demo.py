"""`ocrd demo` on a folder that is there already."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.cli.demo import prepare
from ocrd.errors import UsageError


def test_a_demo_made_again_keeps_what_was_changed_and_what_lies_in_its_inbox(
    tmp_path: Path,
) -> None:
    config = prepare(tmp_path / "demo")
    config.write_text(config.read_text().replace("settle_s = 1", "settle_s = 2"))
    scan, gone = sorted((tmp_path / "demo/inbox/scans").iterdir())[:2]
    scan.write_bytes(b"somebody's own, of that name")
    sample = gone.read_bytes()
    gone.unlink()
    assert prepare(tmp_path / "demo") == config
    assert "settle_s = 2" in config.read_text()
    assert (scan.read_bytes(), gone.read_bytes()) == (b"somebody's own, of that name", sample)


@pytest.mark.parametrize("name", ["config.toml", "letter.pdf", ".hidden"])
def test_a_folder_of_something_else_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('root = "/srv/ocrd"\n')
    with pytest.raises(UsageError) as told:
        prepare(tmp_path)
    assert told.value.hint
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == 'root = "/srv/ocrd"\n'
