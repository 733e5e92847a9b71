"""Whatever lies here takes its time: `make test` leaves it out."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of it as slow."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("slow")
