"""Finds what is wrong after (or during) a run, knowing only what was dropped.

It compares the files that were dropped with those on the disk, and asks nothing of the code under
test.  Each violation is a sentence; an empty list means that nothing is wrong.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePosixPath

from ocrd.spool.trees import MARKER
from tests.slow.faults.bundles import audit_bundles
from tests.slow.faults.evidence import (
    REPORT,
    Dropped,
    Site,
    digest,
    files_below,
    is_hidden,
    originals_below,
)
from tests.slow.faults.ledgers import audit_ledger

_NUMBER = re.compile(r" \(\d+\)(?=$|\.[^.]{1,15}$)")
_CUT = 230  # bytes; a longer name may have been shortened to make room for its number


def audit(
    site: Site, dropped: Sequence[Dropped], *, over: bool = True, left: Collection[str] = ()
) -> list[str]:
    """Every violation of the promise that each file has exactly one visible outcome.

    Args:
        site: Where the daemon works.
        dropped: Everything that was dropped.
        over: Whether the run is over, so that every job must have ended.  During a run originals
            may still wait in an inbox or the spool, but nothing half-done may be visible.
        left: `FOLDER/path` of files in the inboxes that are not documents and stay there.
    """
    wrong: list[str] = []
    for folder in sorted({each.folder for each in dropped} | _folders(site)):
        mine = [each for each in dropped if each.folder == folder]
        wrong += _audit_counts(site, folder, mine, over=over)
        wrong += _audit_names(site, folder, mine)
        wrong += _audit_reports(site, folder)
        wrong += _audit_strays(site, folder, over=over)
        wrong += audit_bundles(site, folder, mine, over=over)
        if over:
            wrong += _audit_inbox(site, folder, left)
    if over:
        wrong += _audit_spool(site)
    return wrong + audit_ledger(site, over=over)


def audit_diary(lines: Iterable[str]) -> list[str]:
    """Violations for pages that an engine was asked for although they were already finished.

    Args:
        lines: `asked JOB PAGE` when the engine was asked, `finished JOB PAGE` when a result was
            safely recorded, in the order in which it happened.
    """
    wrong: list[str] = []
    finished: set[tuple[str, ...]] = set()
    for line in lines:
        what, *page = line.split()
        key = tuple(page[:2])
        if what == "asked" and key in finished:
            wrong.append(f"page {key[1]} of job {key[0]} was computed again after it was finished")
        elif what == "finished":
            finished.add(key)
    return wrong


def _folders(site: Site) -> set[str]:
    """Names of the folders in the outbox, archive and failed trees."""
    trees = (site.root / kind for kind in ("outbox", "archive", "failed"))
    return {name for tree in trees if tree.is_dir() for name in os.listdir(tree)}


def _audit_counts(site: Site, folder: str, dropped: Sequence[Dropped], *, over: bool) -> list[str]:
    """Each dropped file is in archive or failed once, byte for byte, and nothing else is there."""
    filed = Counter(digest(path) for path in _filed(site, folder))
    waiting = Counter(digest(path) for path in _waiting(site, folder))
    names = {each.sha256: f"{folder}/{each.source}" for each in dropped}
    certain = Counter(each.sha256 for each in dropped if not each.replaceable)
    possible = Counter(each.sha256 for each in dropped)
    wrong = []
    for sha256, name in names.items():
        there = filed[sha256] + (0 if over else waiting[sha256])
        if there < certain[sha256]:
            wrong.append(f"{name!a} is lost: dropped: {certain[sha256]}, to be found: {there}")
        if filed[sha256] > possible[sha256]:
            wrong.append(
                f"{name!a} is doubled: dropped: {possible[sha256]}, filed: {filed[sha256]}"
            )
    unknown = [path for path in _filed(site, folder) if digest(path) not in names]
    return wrong + [f"{site.shown(path)} has bytes that nobody dropped" for path in unknown]


def _filed(site: Site, folder: str) -> list[Path]:
    return [
        path for kind in ("archive", "failed") for path in originals_below(site.tree(kind, folder))
    ]


def _waiting(site: Site, folder: str) -> list[Path]:
    """Originals still on their way: in the inbox, hidden or not, or in the spool."""
    spooled = [path for path in files_below(site.jobs()) if path.name.startswith("source")]
    return [*files_below(site.tree("inbox", folder)), *spooled]


def _audit_names(site: Site, folder: str, dropped: Sequence[Dropped]) -> list[str]:
    """Each original is filed under the path that it was dropped at, apart from a number."""
    wrong = []
    for kind in ("archive", "failed"):
        tree = site.tree(kind, folder)
        for path in originals_below(tree):
            sha256 = digest(path)
            sources = [each.source for each in dropped if each.sha256 == sha256]
            found = str(path.relative_to(tree))
            if sources and not any(_is_choice_of(found, source) for source in sources):
                wrong.append(f"{site.shown(path)} was dropped as {sources[0]!a}")
    return wrong


def _is_choice_of(found: str, source: str) -> bool:
    """Whether `found` is `source`, perhaps below dated folders, perhaps numbered."""
    have, want = PurePosixPath(found).parts, PurePosixPath(source).parts
    if len(have) < len(want):
        return False
    pairs = zip(reversed(have), reversed(want), strict=False)
    return all(_same_name(mine, theirs) for mine, theirs in pairs)


def _same_name(found: str, source: str) -> bool:
    if len(os.fsencode(source)) > _CUT:
        return found[:20] == source[:20]
    return source in (found, _NUMBER.sub("", found))


def _audit_reports(site: Site, folder: str) -> list[str]:
    """Each failed original has a report beside it, and each report has its original."""
    tree = site.tree("failed", folder)
    reports = [path for path in files_below(tree) if path.name.endswith(REPORT)]
    wrong, used = [], set()
    for original in originals_below(tree):
        report = _report_of(original, reports)
        if report is None:
            wrong.append(f"{site.shown(original)} has no report of why it failed")
        else:
            used.add(report)
            wrong += _audit_report(site, report, digest(original))
    alone = [path for path in reports if path not in used and not is_hidden(path, tree)]
    return wrong + [f"{site.shown(path)} reports about no file" for path in alone]


def _report_of(original: Path, reports: Sequence[Path]) -> Path | None:
    """The report NAME.error.json; if NAME is too long, it is cut and ends in `~` and a digest."""
    for report in reports:
        about = report.name.removesuffix(REPORT)
        cut, _, _ = about.rpartition("~")
        if report.parent == original.parent and (
            about == original.name or (len(cut) > 20 and original.name.startswith(cut))
        ):
            return report
    return None


def _audit_report(site: Site, report: Path, sha256: str) -> list[str]:
    try:
        told = json.loads(report.read_bytes())
    except ValueError as error:
        return [f"{site.shown(report)} is not JSON: {error}"]
    wrong = [
        f"{site.shown(report)} says no {key}"
        for key in ("kind", "message", "hint")
        if not isinstance(told.get(key), str) or not told[key]
    ]
    if told.get("sha256", sha256) != sha256:
        wrong.append(f"{site.shown(report)} is about another file's bytes")
    return wrong


def _audit_strays(site: Site, folder: str, *, over: bool) -> list[str]:
    """No temporary file is left in any tree; during a run they are allowed."""
    if not over:
        return []
    wrong = []
    for kind in ("inbox", "outbox", "archive", "failed"):
        tree = site.tree(kind, folder)
        strays = {
            tree.joinpath(*path.relative_to(tree).parts[: depth + 1])
            for path in tree.rglob("*")
            for depth, part in enumerate(path.relative_to(tree).parts)
            if part.startswith(".ocrd" if kind == "inbox" else ".") and part != MARKER
        }
        wrong += [f"{site.shown(path)} is a stray temporary" for path in sorted(strays)]
    return wrong


def _audit_inbox(site: Site, folder: str, left: Collection[str]) -> list[str]:
    tree = site.tree("inbox", folder)
    return [
        f"{site.shown(path)} still waits in the inbox"
        for path in files_below(tree)
        if f"{folder}/{path.relative_to(tree)}" not in left and not path.name.startswith(".ocrd")
    ]


def _audit_spool(site: Site) -> list[str]:
    if not site.jobs().is_dir():
        return [f"there is no spool at {site.jobs()}"]
    return [f"{site.shown(path)} still lies in the spool" for path in sorted(site.jobs().iterdir())]
