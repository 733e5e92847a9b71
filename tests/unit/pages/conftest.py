"""A folder for files, and the limits that most tests use."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ocrd.pages.base import Rendering

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes bytes to a file and says where; its name proves nothing."""

    def write(content: bytes, name: str = "file.bin") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def wanted() -> Rendering:
    """144 dpi, and the limits of the default configuration."""
    return Rendering(dpi=144, max_pixels=120_000_000, max_pages=5000)
