"""What holds for the tests of child processes."""

from __future__ import annotations

import pytest

from tests.unit.children.support import forget_strangers


@pytest.fixture(autouse=True)
def _own_children_alone() -> None:
    """A test that looks at its child processes sees none that an earlier one left."""
    forget_strangers()
