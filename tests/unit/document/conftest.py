"""What the tests of documents share."""

from __future__ import annotations

import pytest

from ocrd.document import incremental_pdf, source_pdf


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pages of a document that is written in several turns."""
    for module in (incremental_pdf, source_pdf):
        monkeypatch.setattr(module, "CHUNK", 8)
    return 19
