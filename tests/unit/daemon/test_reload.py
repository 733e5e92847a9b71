"""A new configuration while the daemon runs: taken as a whole, or refused as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from ocrd.config import Config, load
from ocrd.daemon.engines import reloaded
from ocrd.errors import ConfigError


class Anything:
    """An engine that can serve every folder."""

    def unsupported(self, _mode: object) -> None:
        return None

    def unsupported_resolution(self, _resolution: object) -> None:
        return None


def written(root: Path, text: str) -> Config:
    file = root / "config.toml"
    file.write_text(f'root = "{root}"\n{text}', encoding="utf-8")
    return load(file)


def take(config: Config) -> Config:
    return reloaded(config, cast(Any, Anything()), fresh_file=True)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("engine", "[engine]\nworkers = 3"),
        ("watch.rescan_s", "[watch]\nrescan_s = 7"),
        ("ledger", "[ledger]\nkeep_done_days = 30"),
        ("jobs", "[jobs]\nmax_attempts = 2"),
        ("metrics", "[metrics]\nport = 9100"),
        ("notify", "[notify]\nmail_to = 'new@example.org'"),
    ],
)
def test_what_only_a_restart_can_change_is_refused_and_named(
    tmp_path: Path, key: str, text: str
) -> None:
    config = written(tmp_path, "")
    written(tmp_path, text)
    with pytest.raises(ConfigError, match=f": {key}: cannot be changed while running") as refused:
        take(config)
    assert "restart" in refused.value.hint


def test_folders_modes_and_when_a_file_is_complete_are_taken(tmp_path: Path) -> None:
    config = written(tmp_path, "[[folder]]\nname = 'old'\n")
    written(
        tmp_path,
        "[watch]\nsettle_s = 2\n[[mode]]\nname = 'mine'\nprompt = 'Read.'\n"
        "[[folder]]\nname = 'new'\nmode = 'mine'\n",
    )
    (folder,) = take(config).folders
    assert (folder.name, folder.mode.prompt, folder.settle_s) == ("new", "Read.", 2.0)
