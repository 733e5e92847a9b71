"""A pile with separator pages: one bundle for each of its documents, and an index of them.

    scan/
        scan.json       which pages of the pile are separators, which document has which pages
        scan-1/         a bundle like any other: scan-1.md, scan-1.pdf, scan-1.json …
        scan-2/

All of this is published as one bundle, by one rename.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ocrd.document import records
from ocrd.document.base import (
    BLANK,
    IMAGES,
    JSON,
    SUFFIX_ROOM,
    BundleSpec,
    Separator,
)
from ocrd.document.bundle import base_of, build_bundle, is_blank_page
from ocrd.document.incremental_pdf import PdfPages
from ocrd.document.textfiles import text_file
from ocrd.files import Disk
from ocrd.names import fit
from ocrd.pagelog import PageLog

VERSION = 1
_WORK = ".pile"  # in the bundle while it is being built
_OF_THE_WHOLE = frozenset({"members"})  # facts for the index only: they count the pile's pages


def build(spec: BundleSpec) -> tuple[str, ...]:
    """Fill the folder `spec.into`: with one bundle, or with one for each document of a pile.

    Without separators or without documents between them, this is `build_bundle`; see there.
    """
    if spec.separator is None:
        return build_bundle(spec)
    work = spec.into / _WORK
    work.mkdir()
    try:
        total = records.count(spec.pages)
        separators = _separators(spec, spec.separator, work, total)
        documents = split(total, separators)
        if not separators or not documents:
            return build_bundle(replace(spec, separator=None))
        return _pile(spec, spec.separator, documents, separators, work)
    finally:
        shutil.rmtree(work)


def split(total: int, separators: Collection[int]) -> list[list[int]]:
    """The pages of each document: those between separators, where there are any."""
    documents: list[list[int]] = [[]]
    for number in range(1, total + 1):
        if number in separators:
            documents.append([])
        else:
            documents[-1].append(number)
    return [document for document in documents if document]


def part_name(name: str, number: int) -> str:
    """The name of the `number`th document of the pile `name`."""
    tail = f"-{number}"
    return fit(name, suffix_room=len(tail) + SUFFIX_ROOM) + tail


def _separators(
    spec: BundleSpec, separator: Separator, work: Path, total: int
) -> dict[int, tuple[str, ...]]:
    """The separator pages, each with the barcodes on it.

    A blank page after a barcode separator is taken for the back of its sheet.
    """
    if separator.kind == BLANK:
        return dict.fromkeys(_blank(spec, work, range(1, total + 1)), ())
    read = (page.record for page in records.read(spec.pages, spec.answers))
    codes = {record.number: record.codes for record in read}
    found = {number: codes[number] for number in codes if separator.marks(codes[number])}
    backs = [number + 1 for number in found if number + 1 not in found]
    return dict(sorted({**found, **dict.fromkeys(_blank(spec, work, backs), ())}.items()))


def _blank(spec: BundleSpec, work: Path, among: Collection[int]) -> list[int]:
    """The blank pages in `among`; only pages without text are looked at."""
    read = records.read(spec.pages, spec.answers)
    silent = [page for page in read if page.record.number in among and page.is_silent]
    if not silent:
        return []
    base = base_of(spec, work, records.count(spec.pages))
    with PdfPages(base.path) as pages:
        return [page.record.number for page in silent if is_blank_page(page, pages, spec.dpi)]


def _pile(
    spec: BundleSpec,
    separator: Separator,
    documents: Sequence[Sequence[int]],
    separators: dict[int, tuple[str, ...]],
    work: Path,
) -> tuple[str, ...]:
    """Build every document's bundle and the index; their names."""
    told: list[JSON] = []
    names = []
    for index, numbers in enumerate(documents, start=1):
        part = _part(spec, index, len(documents), numbers, work)
        part.into.mkdir()
        made = build_bundle(part)
        told.append({"name": part.name, "pages": list(numbers), "artefacts": list(made)})
        names.append(part.name)
    return (*names, _write_index(spec, separator, separators, told))


def _write_index(
    spec: BundleSpec,
    separator: Separator,
    separators: dict[int, tuple[str, ...]],
    documents: list[JSON],
) -> str:
    """Write the pile's NAME.json; its name."""
    facts: dict[str, JSON] = {
        "version": VERSION,
        **spec.facts,
        "separator": {"kind": separator.kind, "code": separator.code},
        "separators": [{"page": page, "codes": list(codes)} for page, codes in separators.items()],
        "documents": documents,
    }
    name = f"{_title(spec)}.json"
    with text_file(spec.into / name) as file:
        file.write(json.dumps(facts, ensure_ascii=False, indent=1) + "\n")
    return name


def _part(
    spec: BundleSpec, index: int, count: int, numbers: Sequence[int], work: Path
) -> BundleSpec:
    """The specification of the pile's `index`th document, whose pages are written to `work`."""
    name = part_name(_title(spec), index)
    pages = work / f"{index}.jsonl"
    with pages.open("wb") as file:
        file.writelines(_lines(spec.pages, numbers))
    facts = {key: value for key, value in spec.facts.items() if key not in _OF_THE_WHOLE}
    places = spec.places(records.count(spec.pages))
    facts["document"] = {"number": index, "of": count, "pile": _title(spec)}
    return replace(
        spec,
        name=name,
        pages=pages,
        into=spec.into / name,
        facts=facts,
        origins=tuple(places[number - 1] for number in numbers),
        separator=None,
        images=IMAGES,
    )


def _title(spec: BundleSpec) -> str:
    """The pile's name, even where artefacts get theirs later: its documents stay together."""
    return spec.title or spec.name


def _lines(pages: Path, numbers: Sequence[int]) -> Iterator[bytes]:
    """The lines of these pages, renumbered; `pile_page` keeps the old number."""
    wanted = {old: number for number, old in enumerate(numbers, start=1)}
    for entry in PageLog(pages, Disk()).entries():
        old = entry.page.number
        if old in wanted:
            page = replace(entry.page, number=wanted[old])
            yield replace(entry, page=page, pile_page=old).line()
