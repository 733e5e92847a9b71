"""Checks that each archived original has one published bundle, complete and correct."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymupdf

from tests.slow.faults.evidence import (
    Dropped,
    Site,
    digest,
    files_below,
    is_hidden,
    originals_below,
)

SUFFIXES = {
    "markdown": (".md",),
    "raw": (".raw.mmd",),
    "pdf": (".pdf",),
    "boxes": (".boxes.pdf", ".boxes.jpg"),
    "json": (".json",),
}
_STATES = {"done", "partial", "failed"}
_LINK = re.compile(r"\]\((images/[^)\s]+)\)")


@dataclass(frozen=True)
class Bundle:
    """A published folder of results."""

    at: Path
    names: frozenset[str]
    name: str  # the stem of its artefacts
    told: dict[str, Any]  # the sidecar

    @property
    def pages(self) -> list[dict[str, Any]]:
        """The sidecar's pages."""
        pages = self.told.get("pages")
        return pages if isinstance(pages, list) else []


def audit_bundles(site: Site, folder: str, dropped: Sequence[Dropped], *, over: bool) -> list[str]:
    """Violations in a folder's outbox.

    Each archived original must have one complete and correct bundle, and there may be no other.

    Args:
        site: Where the daemon works.
        folder: The folder whose outbox is audited.
        dropped: The files that were dropped into the folder.
        over: Whether the run is over; during it a bundle's original may not be archived yet.
    """
    outbox = site.tree("outbox", folder)
    archived = Counter(digest(path) for path in originals_below(site.tree("archive", folder)))
    pages = {each.sha256: each.pages for each in dropped if each.pages is not None}
    sizes = {
        digest(path): path.stat().st_size for path in originals_below(site.tree("archive", folder))
    }
    wrong, published = [], Counter[str]()
    for at in bundle_folders(outbox):
        bundle, faults = _read(site, at)
        wrong += faults
        if bundle is not None:
            sha256 = str(bundle.told.get("sha256"))
            published[sha256] += 1
            wrong += _audit_bundle(site, bundle, pages.get(sha256))
            wrong += _audit_truth(site, folder, bundle, dropped, sizes.get(sha256))
    wrong += _audit_pairs(folder, dropped, archived, published, over=over)
    return wrong + _audit_empty_folders(site, outbox, dropped)


def look_at(site: Site, at: Path) -> list[str]:
    """Violations in one bundle, regardless of its original."""
    bundle, faults = _read(site, at)
    return faults + (_audit_bundle(site, bundle, None) if bundle else [])


def bundle_folders(outbox: Path) -> list[Path]:
    """Folders with files directly in them; a bundle's `images` belongs to the bundle."""
    holding = {path.parent for path in files_below(outbox) if not is_hidden(path, outbox)}
    return sorted(at for at in holding if at.name != "images" or at.parent not in holding)


def _read(site: Site, at: Path) -> tuple[Bundle | None, list[str]]:
    names = frozenset(path.name for path in at.iterdir())
    sidecars = sorted(name for name in names if name.endswith(".json"))
    if len(sidecars) != 1:
        return None, [f"{site.shown(at)} has {len(sidecars)} sidecars"]
    sidecar = at / sidecars[0]
    try:
        told = json.loads(sidecar.read_bytes())
    except ValueError as error:
        return None, [f"{site.shown(sidecar)} is not JSON: {error}"]
    if not isinstance(told, dict):
        return None, [f"{site.shown(sidecar)} is not an object"]
    return Bundle(at, names, sidecars[0].removesuffix(".json"), told), []


def _audit_pairs(
    folder: str,
    dropped: Sequence[Dropped],
    archived: Counter[str],
    published: Counter[str],
    *,
    over: bool,
) -> list[str]:
    names = {each.sha256: f"{folder}/{each.source}" for each in dropped}
    possible = Counter(each.sha256 for each in dropped)
    wrong = []
    for sha256 in archived.keys() | published.keys():
        name = names.get(sha256, f"{folder}: what has the SHA-256 {sha256}")
        have, want = published[sha256], archived[sha256]
        if have < want:
            wrong.append(f"{name!a} lacks a bundle: archived: {want}, bundles: {have}")
        if have > (want if over else possible[sha256]):
            wrong.append(f"{name!a} has a bundle too many: archived: {want}, bundles: {have}")
    return sorted(wrong)


def _audit_bundle(site: Site, bundle: Bundle, pages: int | None) -> list[str]:
    faults = [
        *_audit_artefacts(site, bundle),
        *_audit_sidecar(bundle, pages),
        *_audit_text(bundle),
        *_audit_images(bundle),
    ]
    return [f"{site.shown(bundle.at)}: {fault}" for fault in faults]


def _audit_artefacts(site: Site, bundle: Bundle) -> list[str]:
    """Every configured artefact is there and whole, and nothing else is there."""
    wrong, expected = [], {"images"} if "images" in site.outputs else set()
    for output, suffixes in SUFFIXES.items():
        choices = {bundle.name + suffix for suffix in suffixes}
        made = choices & bundle.names
        expected |= choices if output in site.outputs else set()
        if output in site.outputs and len(made) != 1:
            wrong.append(f"{len(made)} of {sorted(choices)}")
        wrong += [
            fault for name in sorted(made) for fault in _audit_ending(bundle, bundle.at / name)
        ]
    return wrong + [f"{name!a} does not belong there" for name in bundle.names - expected]


def _audit_ending(bundle: Bundle, artefact: Path) -> list[str]:
    """A JPEG or PDF is complete to its last bytes; a PDF has as many pages as the sidecar."""
    content = artefact.read_bytes()
    if artefact.suffix == ".jpg" and not _is_whole_jpeg(content):
        return [f"{artefact.name!a} is no whole JPEG"]
    if artefact.suffix != ".pdf":
        return []
    if not content.startswith(b"%PDF-") or not content.rstrip().endswith(b"%%EOF"):
        return [f"{artefact.name!a} is no whole PDF"]
    with pymupdf.open(stream=content, filetype="pdf") as document:
        have = document.page_count
    kept = [page for page in bundle.pages if not page.get("dropped")]
    if have not in (len(kept), len(bundle.pages)):
        return [f"{artefact.name!a} has {have} pages of {len(bundle.pages)}"]
    return []


def _is_whole_jpeg(content: bytes) -> bool:
    return content.startswith(b"\xff\xd8") and content.endswith(b"\xff\xd9")


def _audit_sidecar(bundle: Bundle, pages: int | None) -> list[str]:
    told = bundle.told
    silent_on = [key for key in ("sha256", "source", "engine", "mode") if not told.get(key)]
    wrong = [f"the sidecar says no {key}" for key in silent_on]
    numbers = [page.get("number") for page in bundle.pages]
    if numbers != list(range(1, len(numbers) + 1)) or not numbers:
        wrong.append(f"the sidecar numbers its pages {numbers}")
    if told.get("summary", {}).get("pages") != len(numbers):
        wrong.append("the sidecar's summary miscounts its pages")
    if pages is not None and len(numbers) != pages:
        wrong.append(f"the sidecar has {len(numbers)} pages, the document {pages}")
    odd = [page.get("number") for page in bundle.pages if page.get("state") not in _STATES]
    silent = [
        page.get("number")
        for page in bundle.pages
        if page.get("state") == "failed" and not (page.get("error") or {}).get("hint")
    ]
    wrong += [f"page {number} is neither done nor partial nor failed" for number in odd]
    return wrong + [f"page {number} failed without a reason" for number in silent]


def _audit_truth(
    site: Site, folder: str, bundle: Bundle, dropped: Sequence[Dropped], size: int | None
) -> list[str]:
    """The sidecar describes the original that was dropped and is in the archive.

    It escapes names that cannot be printed; these are not compared.
    """
    told, sha256 = bundle.told, bundle.told.get("sha256")
    sources = {each.source for each in dropped if each.sha256 == sha256}
    wrong = []
    if told.get("folder") != folder:
        wrong.append(f"the sidecar names the folder {told.get('folder')!a}")
    if all(source.isprintable() for source in sources) and told.get("source") not in sources:
        wrong.append(f"the sidecar names the original {told.get('source')!a}")
    if size is not None and told.get("size") != size:
        wrong.append(f"the sidecar gives {told.get('size')} bytes, the original has {size}")
    return [f"{site.shown(bundle.at)}: {fault}" for fault in wrong]


def _audit_text(bundle: Bundle) -> list[str]:
    """The pages' spans are within the Markdown, one after another."""
    length = len(_markdown(bundle))
    at, wrong = 0, []
    for page in bundle.pages:
        start, end = page.get("span") or (at, at)
        if not at <= start <= end <= length:
            wrong.append(f"the span of page {page.get('number')} is not in the Markdown")
        at = end
    return wrong


def _audit_images(bundle: Bundle) -> list[str]:
    """Each figure that is mentioned exists, and each that exists is mentioned and whole."""
    blocks = [block for page in bundle.pages for block in page.get("blocks", [])]
    named = {block["image"] for block in blocks if block.get("image")}
    linked = set(_LINK.findall(_markdown(bundle)))
    there = {f"images/{path.name}" for path in files_below(bundle.at / "images")}
    torn = [name for name in sorted(there) if not _is_whole_jpeg((bundle.at / name).read_bytes())]
    wrong = [f"{name!a} is missing" for name in sorted((named | linked) - there)]
    wrong += [f"{name!a} is mentioned nowhere" for name in sorted(there - named - linked)]
    return wrong + [f"{name!a} is no whole JPEG" for name in torn]


def _markdown(bundle: Bundle) -> str:
    markdown = bundle.at / f"{bundle.name}.md"
    return markdown.read_text(encoding="utf-8") if markdown.is_file() else ""


def _audit_empty_folders(site: Site, outbox: Path, dropped: Sequence[Dropped]) -> list[str]:
    """An empty folder is a bundle that lost its contents, unless it is part of a dropped path."""
    parents = {str(parent) for each in dropped for parent in Path(each.source).parents}
    return [
        f"{site.shown(path)} is an empty folder"
        for path in sorted(outbox.rglob("*"))
        if path.is_dir()
        and not is_hidden(path, outbox)
        and not any(path.iterdir())
        and str(path.relative_to(outbox)) not in parents
    ]
