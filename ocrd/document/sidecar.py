"""NAME.json: what was done and with what result, page by page; written as pages come."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TextIO

from ocrd.document.base import JSON
from ocrd.document.layout import Layouts
from ocrd.document.plain import characters
from ocrd.document.records import PageRecord, ReadPage
from ocrd.document.textfiles import WrittenText
from ocrd.document.view import PageSize
from ocrd.job import PageState
from ocrd.pdffile import FAULTS

VERSION = 1
_OWN = frozenset({"version", "notes", "pages", "summary"})


class Sidecar(WrittenText):
    r"""The artefact NAME.json: version, facts, one page a line, notes, summary.

    A file name that is not UTF-8 keeps its odd bytes as `\udcXX` escapes, which `json.loads` and
    `os.fsencode` turn back into the exact name.
    """

    def __init__(
        self, file: TextIO, layouts: Layouts, facts: Mapping[str, JSON], notes: Sequence[str]
    ) -> None:
        super().__init__(file)
        self._layouts = layouts
        self._notes = notes
        self._totals: Counter[str] = Counter()
        self._seconds = 0.0
        head: dict[str, JSON] = {"version": VERSION}
        head.update((key, value) for key, value in facts.items() if key not in _OWN)
        self._file.write(_dumped(head, indent=1).removesuffix("\n}") + ',\n "pages": [')

    def add(self, page: ReadPage) -> None:
        """Write a page's line."""
        record = page.record
        self._file.write(",\n  " if self._totals["pages"] else "\n  ")
        size = None
        with suppress(*FAULTS):
            size = self._layouts.view(page).size
        self._file.write(_dumped(page_facts(page, size)))
        self._totals["pages"] += 1
        self._totals[record.state.value] += 1
        self._totals["dropped"] += page.dropped
        self._totals["characters"] += characters(page.blocks)
        self._totals["tokens"] += record.tokens
        self._seconds += record.seconds

    def finish(self) -> str:
        """Write the summary; the artefact's name."""
        states = [state.value for state in PageState if state is not PageState.PENDING]
        keys = ("pages", *states, "dropped", "characters", "tokens")
        summary: dict[str, JSON] = {key: self._totals[key] for key in keys}
        summary["seconds"] = round(self._seconds, 3)
        notes = _dumped(list(self._notes))
        self._file.write(f'\n ],\n "notes": {notes},\n "summary": {_dumped(summary)}\n}}\n')
        return super().finish()


def page_facts(page: ReadPage, size: PageSize | None) -> dict[str, JSON]:
    """What the sidecar says about one page."""
    record, result = page.record, page.record.result
    sure = result.confidence if result else None
    error: JSON = None
    if record.error is not None:
        error = dict(record.error.shown())
    notes: list[JSON] = [*(result.notes if result else ()), *page.notes]
    return {
        "number": record.number,
        **_found(record),
        "size_px": list(size.pixels) if size else None,
        "size_in": [round(size.width, 3), round(size.height, 3)] if size else None,
        "dpi": round(size.dpi, 1) if size else None,
        "state": record.state.value,
        "tries": record.tries,
        "tokens": record.tokens,
        "seconds": round(record.seconds, 3),
        "reused": record.reused,
        "turned": page.turned,
        "words_from": result.words_from.value if result else None,
        "confidence": None if sure is None else round(sure, 3),
        "finish": result.finish.value if result else None,
        "partial": record.reason if record.state is PageState.PARTIAL else None,
        "dropped": page.dropped,
        "notes": notes,
        "error": error,
        "blocks": [_block_facts(page, index) for index in range(len(page.blocks))],
        "span": list(page.span) if page.span else None,
    }


def _found(record: PageRecord) -> dict[str, JSON]:
    """The page's origin, its number in a pile and its barcodes, each where it has any."""
    found: dict[str, JSON] = {}
    if record.came_from:
        found["came_from"] = dict(record.came_from)
    if record.pile_page:
        found["pile_page"] = record.pile_page
    if record.codes:
        found["codes"] = list(record.codes)
    return found


def _block_facts(page: ReadPage, index: int) -> JSON:
    block = page.blocks[index]
    facts: dict[str, JSON] = {
        "label": block.label,
        "text": block.text,
        "boxes": [list(box.rounded()) for box in block.boxes],
    }
    if block.rows:
        facts["rows"] = [list(row) for row in block.rows]
    if block.level:
        facts["level"] = block.level
    if index in page.figures:
        facts["image"] = page.figures[index]
    return facts


def _dumped(value: JSON, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)
