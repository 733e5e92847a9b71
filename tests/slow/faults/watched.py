"""The auditor's rules for the plain watcher, which keeps no ledger and writes no bundles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.slow.faults.evidence import Dropped, Site, digest, files_below


def audit_watched(site: Site, dropped: Sequence[Dropped]) -> list[str]:
    """Every violation of the promise that each file has exactly one visible outcome.

    In the plain watcher a damaged file just stays in the inbox; that is no violation.
    """
    wrong: list[str] = []
    for folder in sorted({each.folder for each in dropped}):
        mine = [each for each in dropped if each.folder == folder]
        wrong += _audit_counts(site, folder, mine)
        wrong += _audit_outputs(site, folder)
    return wrong


def _audit_counts(site: Site, folder: str, dropped: Sequence[Dropped]) -> list[str]:
    archived = Counter(map(digest, files_below(site.tree("archive", folder))))
    waiting = Counter(map(digest, files_below(site.tree("inbox", folder))))
    wrong = []
    for each in dropped:
        name = f"{each.folder}/{each.source}"
        if archived[each.sha256] > 1:
            wrong.append(f"{name!a} is doubled: filed: {archived[each.sha256]}")
        if each.replaceable or archived[each.sha256]:
            continue
        if not waiting[each.sha256]:
            wrong.append(f"{name!a} is lost")
        elif each.pages is not None:
            wrong.append(f"{name!a} still waits in the inbox")
    known = {each.sha256 for each in dropped}
    unknown = archived.keys() - known
    return wrong + [f"{folder}: {sha256} has bytes that nobody dropped" for sha256 in unknown]


def _audit_outputs(site: Site, folder: str) -> list[str]:
    """A whole PDF and a text for each archived original, and for nothing else."""
    outbox, archive = site.tree("outbox", folder), site.tree("archive", folder)
    stems = {_stem(path, archive) for path in files_below(archive)}
    made = {path for path in files_below(outbox) if path.suffix in (".pdf", ".txt")}
    wrong = [
        f"{folder}/{stem!a} lacks a bundle"
        for stem in stems
        if not {outbox / f"{stem}.pdf", outbox / f"{stem}.txt"} <= made
    ]
    wrong += [
        f"{site.shown(path)} has a bundle too many: no original is archived"
        for path in sorted(made)
        if path.suffix == ".pdf" and _stem(path, outbox) not in stems
    ]
    return wrong + [f"{site.shown(path)} is no whole PDF" for path in made if not _is_whole(path)]


def _stem(path: Path, tree: Path) -> str:
    return str(path.relative_to(tree).with_suffix(""))


def _is_whole(path: Path) -> bool:
    return path.suffix != ".pdf" or path.read_bytes().rstrip().endswith(b"%%EOF")
