"""A folder for files, the limits that most tests use, and how what cannot be read ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocrd.errors import BadFileError, OcrdError
from ocrd.pages.base import Rendering

Put = Callable[..., Path]


@contextmanager
def refused(
    kind: str, *, by: type[OcrdError] = BadFileError, match: str | None = None, hint: str = ""
) -> Iterator[None]:
    """Expects an error of this kind, with a remedy."""
    with pytest.raises(by, match=match) as caught:
        yield
    assert caught.value.kind == kind
    assert caught.value.hint
    assert hint in caught.value.hint


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
