"""A scan put through the documented Samba share comes back through it, the office's to keep."""

from __future__ import annotations

import grp
import json
import os
import re
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.ledger.ledger import Ledger
from ocrd.spool.trees import MARKER
from tests.integration.share import OFFICE, SCANNER, Share, daemon, documented_share
from tests.support.commands import ocrd
from tests.support.needs import needs
from tests.support.samples import scan_of
from tests.support.waiting import wait_for

pytestmark = needs("root", "samba", "setpriv", "poppler")

SETTINGS = f"""\
[watch]
settle_s = 0.5
rescan_s = 2
[[folder]]
name = "scans"
group = "{OFFICE}"
umask = "007"
[[folder]]
name = "flat"
layout = "flat"
output_name = "{{counter:03}} {{stem}}"
outputs = ["markdown", "pdf"]
group = "{OFFICE}"
umask = "007"
"""


@pytest.fixture(scope="module")
def share() -> Iterator[Share]:
    """With a daemon, whose engine reads a name for what it sees."""
    with documented_share(SETTINGS) as serving:
        for folder in ("scans", "flat"):
            (serving.root / "inbox" / folder).mkdir()
            inherit(serving.root / "inbox" / folder)
        with daemon(serving):
            yield serving


def inherit(folder: Path) -> None:
    """Make a folder belong to whom the one above belongs."""
    above = folder.parent.stat()
    os.chown(folder, above.st_uid, above.st_gid)
    folder.chmod(stat.S_IMODE(above.st_mode))


def visible(folder: Path) -> list[str]:
    """The names in a folder, but for the marker by which ocrd knows a tree."""
    return sorted(set(os.listdir(folder)) - {MARKER})


def rights(top: Path) -> set[tuple[str, str]]:
    """Group and mode of everything below a folder, and of the folder."""
    facts = [path.lstat() for path in (top, *top.rglob("*")) if path.name != MARKER]
    return {(grp.getgrgid(f.st_gid).gr_name, stat.filemode(f.st_mode)) for f in facts}


def outputs(root: Path) -> dict[str, str]:
    """Where the results of each folder's job lie, as the command line tells it."""
    told = json.loads(ocrd("jobs", "--json", "--config", str(root / "config.toml")).stdout)
    return {job["folder"]: job["outputs"] for job in told["jobs"] if job["outputs"]}


def at_rest(root: Path) -> bool:
    """Whether nothing is under way; a job's folder goes a moment after its end is to be seen."""
    return os.listdir(root / ".ocrd" / "jobs") == []


def text_of(pdf: Path) -> str:
    told = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, text=True, check=True)
    return " ".join(told.stdout.split())


def test_a_scan_comes_back_as_a_searchable_pdf_that_the_office_may_delete(
    share: Share, tmp_path: Path
) -> None:
    scan, root = scan_of("A letter").data, share.root
    share.put("scans/letter.jpg", scan)
    share.put("flat/letter.jpg", scan)
    flat, bundle = root / "outbox" / "flat" / "001 letter.md", root / "outbox" / "scans" / "letter"
    wait_for(lambda: len(list(root.glob("archive/*/letter.jpg"))) == 2 and at_rest(root))

    assert outputs(root) == {"scans": str(bundle), "flat": str(flat)}
    read = (bundle / "letter.md").read_text(encoding="utf-8").strip()
    assert re.fullmatch(r"page [0-9a-f]{16}", read)
    for name in ("scans/letter/letter.pdf", "flat/001 letter.pdf"):
        share.get(name, tmp_path / "fetched.pdf")
        assert read in text_of(tmp_path / "fetched.pdf")
    given = {(OFFICE, "-rw-rw----"), (OFFICE, "drwxrws---")}
    for tree in ("outbox", "archive"):
        assert rights(root / tree / "scans") == rights(root / tree / "flat") == given
    assert (root / "archive" / "scans" / "letter.jpg").read_bytes() == scan

    share.run(OFFICE, "outbox", 'rename "flat/001 letter.md" flat/kept.md')
    share.run(OFFICE, "outbox", 'del "flat/001 letter.pdf"; deltree scans/letter')
    assert visible(root / "outbox" / "flat") == ["kept.md"]
    assert visible(root / "outbox" / "scans") == []


def test_a_killed_upload_leaves_only_its_failed_record(share: Share, tmp_path: Path) -> None:
    """While it lasts it is waited for; what is left of it comes to rest and cannot be opened."""
    scan, root = scan_of("Short").data, share.root
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    put = share.command(SCANNER, "inbox", f"put {pipe} scans/long.pdf")
    client = subprocess.Popen(put, stdout=subprocess.DEVNULL)
    with pipe.open("wb") as writing:
        writing.write(b"%PDF-1.7\n" + b"half a scan " * 2_000_000)
        writing.flush()
        arrived = root / "inbox" / "scans" / "long.pdf"
        wait_for(lambda: arrived.exists() and arrived.stat().st_size > 0)
        share.put("scans/short.jpg", scan)
        wait_for((root / "archive" / "scans" / "short.jpg").exists)
        assert arrived.exists(), "it was taken while it was still written"
        client.send_signal(signal.SIGKILL)
        client.wait()
    failed = root / "failed" / "scans"
    wait_for(lambda: (failed / "long.pdf.error.json").exists() and at_rest(root))

    assert rights(failed) == {(OFFICE, "-rw-rw----"), (OFFICE, "drwxrws---")}
    assert visible(failed) == ["long.pdf", "long.pdf.error.json"]
    assert visible(root / "outbox" / "scans") == ["short"]
    assert [path for path in (root / "inbox").rglob("[!.]*") if path.is_file()] == []
    with Ledger.open(root / ".ocrd" / "ledger.db") as ledger:
        (job,) = (each for each in ledger.jobs(limit=9) if each.source == "long.pdf")
    assert (job.state, job.error and job.error.kind) == ("failed", "damaged")
