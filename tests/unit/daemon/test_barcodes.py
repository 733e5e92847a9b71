"""A folder that waits for barcodes is refused where nobody could read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.config import Config, load
from ocrd.daemon.engines import check_barcodes
from ocrd.errors import ConfigError


def configured(folder: Path, separator: str) -> Config:
    file = folder / "config.toml"
    file.write_text(
        f'root = "{folder}"\n[[folder]]\nname = "piles"\nseparator = "{separator}"\n',
        encoding="utf-8",
    )
    return load(file)


def test_without_the_library_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        check_barcodes(configured(tmp_path, "barcode"), library="no_such_library")
    assert "'piles'" in caught.value.message
    assert "ocrd-daemon[barcode]" in caught.value.hint


@pytest.mark.parametrize(
    ("separator", "library"), [("blank", "no_such_library"), ("barcode", "zxingcpp")]
)
def test_nobody_is_refused_who_can_be_served(tmp_path: Path, separator: str, library: str) -> None:
    check_barcodes(configured(tmp_path, separator), library=library)
