"""The auditor passes a clean run and finds each violation that is planted in one."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pymupdf
import pytest

from tests.slow.faults.auditor import audit, audit_diary
from tests.slow.faults.droppers import ODD, WHOLE, Ground, Item
from tests.slow.faults.evidence import Dropped, Site, files_below, originals_below
from tests.slow.faults.onlooker import Onlooker

CONFIG = """\
root = "{root}"
[watch]
settle_s = 0.1
[jobs]
retry_delay_s = 0.1
[[folder]]
name = "letters"
mode = "document"
"""


@dataclass(frozen=True)
class Run:
    """What was dropped, and what a run of the daemon made of it."""

    site: Site
    dropped: list[Dropped]
    diary: Path

    def audit(self) -> list[str]:
        return audit(self.site, self.dropped)

    def file(self, pattern: str) -> Path:
        """The first file below the root that matches."""
        return sorted(self.site.root.glob(pattern))[0]

    def bundle(self) -> Path:
        """A bundle of a document of two pages."""
        return self.file("outbox/letters/copy")

    def sql(self, statement: str) -> None:
        """Change the ledger behind its back."""
        with closing(sqlite3.connect(self.site.ledger_file())) as connection, connection:
            assert connection.execute(statement).rowcount != 0

    def sidecar(self, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]  # JSON
        """Change a bundle's sidecar."""
        file = self.bundle() / "copy.json"
        told = json.loads(file.read_bytes())
        change(told)
        file.write_text(json.dumps(told))


def pdf(text: str, pages: int = 2) -> bytes:
    """A small PDF whose pages say `text`."""
    with pymupdf.open() as document:
        for number in range(pages):
            document.new_page(width=200, height=80).insert_text((10, 40), f"{text} {number}")
        return bytes(document.tobytes())


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Files dropped in every way and processed by a real daemon."""
    root = tmp_path_factory.mktemp("audited") / "root"
    inbox, staging = root / "inbox" / "letters", root / "staging"
    inbox.mkdir(parents=True)
    staging.mkdir()
    ground = Ground(folder="letters", inbox=inbox, staging=staging)
    dropped, contents = [], {}
    for name, dropper in {**WHOLE, **ODD}.items():
        items = []
        for extra in ("", " again"):
            contents[name + extra] = pdf(name + extra)
            source = f"{name.replace(' ', '/')}{extra}.pdf"
            items.append(Item(source=source, content=contents[name + extra], pages=2))
        dropped += dropper(ground, items)
    twin = [Item(source="twin.pdf", content=contents["copy"], pages=2)]
    damaged = [Item(source="damaged.pdf", content=b"no PDF at all" * 100, pages=None)]
    dropped += WHOLE["copy"](ground, [*twin, *damaged])
    config, diary = root / "config.toml", root / "diary"
    config.write_text(CONFIG.format(root=root))
    command = [sys.executable, "-m", "tests.integration.driver", str(config), str(diary)]
    subprocess.run(command, check=False, capture_output=True, timeout=300)
    shutil.copytree(root, root.with_name("pristine"), symlinks=True)
    return Run(site=Site(root=root), dropped=dropped, diary=diary)


@pytest.fixture
def run(pristine: Run) -> Iterator[Run]:
    """The same run, restored after whatever an earlier test did to it."""
    root = pristine.site.root
    shutil.rmtree(root)
    shutil.copytree(root.with_name("pristine"), root, symlinks=True)
    yield pristine


def test_a_clean_run_has_nothing_wrong_with_it(run: Run) -> None:
    assert run.audit() == []
    assert audit_diary(run.diary.read_text().splitlines()) == []
    archived = originals_below(run.site.tree("archive", "letters"))
    assert len(archived) >= 2 * len(WHOLE) + 3
    assert [path.name for path in originals_below(run.site.tree("failed", "letters"))][-1:]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copy2)(source, target)


def archived(run: Run) -> Path:
    return run.file("archive/letters/copy.pdf")


def report(run: Run) -> Path:
    return run.file("failed/letters/damaged.pdf.error.json")


def say(file: Path, key: str, value: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_bytes()), key: value}))


Plant = Callable[[Run], object]


def stray(tree: str) -> Plant:
    return lambda r: (r.site.root / tree / "letters/.ocrd-ab.part").write_bytes(b"x")


PLANTS: dict[str, tuple[Plant, str]] = {
    "lost": (lambda r: archived(r).unlink(), "is lost: dropped: 2, to be found: 1"),
    "damaged": (lambda r: damage(archived(r)), "has bytes that nobody dropped"),
    "doubled": (
        lambda r: copy(archived(r), r.site.root / "archive/letters/copy (2).pdf"),
        "is doubled: dropped: 2, filed: 3",
    ),
    "archived and failed": (
        lambda r: copy(archived(r), r.site.root / "failed/letters/copy.pdf"),
        "is doubled: dropped: 2, filed: 3",
    ),
    "left in the inbox": (
        lambda r: (r.site.root / "inbox/letters/left.pdf").write_bytes(b"x"),
        "'inbox/letters/left.pdf' still waits in the inbox",
    ),
    "left in the spool": (
        lambda r: (r.site.jobs() / "9-abc").mkdir(),
        "'.ocrd/jobs/9-abc' still lies in the spool",
    ),
    **{
        f"temporary in {tree}": (
            stray(tree),
            f"'{tree}/letters/.ocrd-ab.part' is a stray temporary",
        )
        for tree in ("inbox", "outbox", "archive", "failed")
    },
    "no bundle": (lambda r: shutil.rmtree(r.bundle()), "lacks a bundle: archived: 2, bundles: 1"),
    "two bundles": (
        lambda r: copy(r.bundle(), r.bundle().with_name("copy (2)")),
        "has a bundle too many: archived: 2, bundles: 3",
    ),
    "half a PDF": (lambda r: halve(r.bundle() / "copy.pdf"), "'copy.pdf' is no whole PDF"),
    "a torn figure": (
        lambda r: copy(r.bundle() / "copy.md", r.bundle() / "images" / "1-1.jpg"),
        "'images/1-1.jpg' is no whole JPEG",
    ),
    "another's digest": (
        lambda r: r.sidecar(lambda told: told.update(sha256="00" * 32)),
        "has a bundle too many: archived: 0, bundles: 1",
    ),
    "a page less": (
        lambda r: r.sidecar(lambda told: told["pages"].pop()),
        "the sidecar has 1 pages, the document 2",
    ),
    "no report": (lambda r: report(r).unlink(), "'failed/letters/damaged.pdf' has no report"),
    "still running": (
        lambda r: r.sql("UPDATE jobs SET state = 'running' WHERE shown = 'copy.pdf'"),
        r"job \d+ \(copy.pdf\) is still running",
    ),
    "a job forgotten": (
        lambda r: r.sql("DELETE FROM jobs WHERE shown = 'copy.pdf'"),
        "no job knows 'archive/letters/copy.pdf'",
    ),
    "a bundle shared": (
        lambda r: r.sql(
            "UPDATE jobs SET outputs = (SELECT outputs FROM jobs WHERE shown = 'copy.pdf') "
            "WHERE shown = 'twin.pdf'"
        ),
        "2 jobs claim the bundle .*/outbox/letters/copy$",
    ),
    "a broken ledger": (
        lambda r: r.site.ledger_file().write_bytes(b"SQLite format 3\0" + bytes(5000)),
        "the ledger cannot be read",
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_violation_is_found(run: Run, name: str) -> None:
    plant, sentence = PLANTS[name]
    plant(run)
    found = run.audit()
    assert [each for each in found if re.search(sentence, each)], found


def test_in_the_middle_of_a_run_originals_may_wait(run: Run) -> None:
    """One is in the spool, one hidden in its inbox, and a copy is under way beside its target."""
    spooled = run.site.jobs() / "3-abc" / "source.pdf"
    spooled.parent.mkdir()
    archived(run).rename(spooled)
    twin = run.file("archive/letters/twin.pdf")
    twin.rename(run.site.root / "inbox/letters/.ocrd-def.claim")
    (run.site.root / "archive/letters/.ocrd-abc.part").write_bytes(b"half")
    assert audit(run.site, run.dropped, over=False) == []
    assert len(run.audit()) >= 4


def test_in_the_middle_of_a_run_nothing_half_done_may_show(run: Run) -> None:
    halve(archived(run))
    (run.bundle() / "copy.pdf").unlink()
    found = audit(run.site, run.dropped, over=False)
    assert [each for each in found if "'archive/letters/copy.pdf' has bytes that nobody" in each]
    assert [each for each in found if "0 of ['copy.pdf']" in each]


def test_what_may_have_been_replaced_may_be_missing_but_not_be_doubled(run: Run) -> None:
    replaced = [each for each in run.dropped if each.replaceable]
    assert len(replaced) == 2
    lost = Dropped(folder="letters", source="x.pdf", sha256="11" * 32, replaceable=True)
    assert audit(run.site, [*run.dropped, lost]) == []
    kept = Dropped(folder="letters", source="x.pdf", sha256="11" * 32)
    (found,) = audit(run.site, [*run.dropped, kept])
    assert found == "'letters/x.pdf' is lost: dropped: 1, to be found: 0"


def test_a_page_computed_again_after_it_was_finished_is_told() -> None:
    lines = ["asked 1 1", "asked 1 1", "finished 1 1", "asked 1 2", "asked 2 1", "asked 1 1"]
    assert audit_diary(lines) == ["page 1 of job 1 was computed again after it was finished"]


def test_a_bundle_that_was_not_whole_when_it_was_first_seen_is_told(run: Run) -> None:
    onlooker = Onlooker(run.site, ["letters"])
    onlooker.look()
    assert (onlooker.wrong, onlooker.seen) == ([], len(list(run.site.root.glob("outbox/**/*.md"))))
    late = run.bundle().with_name("late")
    late.mkdir()
    (late / "late.md").write_text("half of it")
    onlooker.look()
    shutil.rmtree(late)  # whole, or gone, by the time of the audit at the end
    assert onlooker.wrong == ["when first seen: 'outbox/letters/late' has 0 sidecars"]


def test_every_file_of_the_run_was_looked_at(run: Run) -> None:
    """Any file that is removed, anywhere people look, is a violation."""
    trees = [run.bundle(), run.site.root / "archive", run.site.root / "failed"]
    unseen = []
    for path in [each for tree in trees for each in files_below(tree)]:
        kept = path.read_bytes()
        path.unlink()
        if not run.audit():
            unseen.append(path)
        path.write_bytes(kept)
    assert unseen == []
