"""Makes the pictures of the README: `.venv/bin/python docs/make_pictures.py`.

One is what `ocrd status` says of a ledger and a daemon's word that are made here, as an example of
a busy GPU, a folder that waits and a failure; the other the boxes that a real run over the demo's
samples draws over a page.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.text import Text

from ocrd import snapshot
from ocrd.cli import words
from ocrd.cli.demo import prepare
from ocrd.cli.status import plain
from ocrd.job import Found, JobError, Place
from ocrd.ledger.ledger import Ledger
from ocrd.views.locate import locate
from ocrd.views.status import gather

PICTURES = Path(__file__).parent / "pictures"
PAGE = "outbox/scans/two-columns/two-columns.boxes.jpg"
PAGE_WIDTH = 640  # pixels
TERMINAL_WIDTH = 92  # columns
CONFIG = """\
root = "{root}"
[engine]
kind = "vllm"
[[folder]]
name = "invoices"
[[folder]]
name = "pile"
[[folder]]
name = "hall"
"""
ENCRYPTED = JobError(
    kind="encrypted",
    message="payslip.pdf: the PDF is protected by a password",
    hint="Remove the password, drop the file again.",
)
FULL = {
    "kind": "disk-full",
    "message": "/srv/hall/outbox: the disk is full (ENOSPC)",
    "hint": "Free some space; the folder goes on by itself.",
}


def fill(ledger: Ledger) -> None:
    """Jobs of each kind, recorded and ended as the daemon does it."""
    numbers = iter(range(1, 10_000))

    def files(folder: str, name: str, count: int) -> None:
        ledger.record([found(folder, name.format(each), next(numbers)) for each in range(count)])

    for folder, name, count in (
        ("invoices", "2026/11/scan-{:04}.pdf", 40),
        ("pile", "1987/minutes-{:03}.tif", 60),
    ):
        files(folder, name, count)
        for job in ledger.claim_some(count, now=1e12, exclude_folders=frozenset()):
            paged = ledger.set_pages(ledger.moved(job, Place.SPOOL), 3 + job.id % 9)
            ledger.done(
                ledger.deliver(paged, outputs=f"/out/{job.id}", archived_to=f"/in/{job.id}")
            )
    files("invoices", "2026/11/payslip.pdf", 1)
    (job,) = ledger.claim_some(1, now=1e12, exclude_folders=frozenset())
    ledger.failed(
        ledger.intend_failure(ledger.moved(job, Place.SPOOL), ENCRYPTED, "/failed/payslip.pdf")
    )
    files("pile", "1988/minutes-{:03}.tif", 2400)
    ledger.claim_some(298, now=1e12, exclude_folders=frozenset())
    files("hall", "scan-{:02}.jpg", 14)


def found(folder: str, source: str, number: int) -> Found:
    """A settled file."""
    return Found(
        folder=folder,
        source=source,
        size=90_000 + number,
        mtime_ns=number,
        inode=number,
        sha256=f"{number:064x}",
    )


def word(root: Path) -> dict[str, Any]:
    """What a daemon with that to do says of itself."""
    quiet = {"paused": None, "waits_until": None, "conditions": [], "overdue": [], "settling": 0}
    named = {"invoices": {}, "pile": {}, "hall": {"paused": FULL, "settling": 3}}
    return {
        "pid": os.getpid(),
        "ledger": str(root / ".ocrd" / "ledger.db"),
        "engine": {"kind": "vllm", "state": "ready", "detail": "", "devices": [], "steps": []},
        "pages_per_s": 17.64,
        "pages_in_flight": 312,
        "strays": [{"path": "/srv/ocrd/inbox/unknown", "files": 2}],
        "folders": [{"name": name, **quiet, **more} for name, more in named.items()],
    }


def main() -> None:
    """Make them all."""
    PICTURES.mkdir(exist_ok=True)
    picture_of_status()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place) / "srv"
        command = [sys.executable, "-m", "ocrd", "run", "--once", "--config", str(prepare(root))]
        subprocess.run(command, check=True)  # noqa: S603 - this very package
        picture_of_boxes(root / PAGE)


def picture_of_status() -> None:
    """`status.svg`: what a terminal shows."""
    os.environ["COLUMNS"] = str(TERMINAL_WIDTH)
    words.on_screen = lambda: True
    console = Console(record=True, width=TERMINAL_WIDTH, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as place:
        root, config = Path(place), Path(place, "config.toml")
        config.write_text(CONFIG.format(root=root), encoding="utf-8")
        (root / ".ocrd").mkdir()
        with Ledger.open(root / ".ocrd" / "ledger.db") as ledger:
            fill(ledger)
        lock = snapshot.take_lock(root / ".ocrd" / snapshot.LOCK)
        snapshot.write(root / ".ocrd", word(root))
        for line in plain(gather(locate(config))):
            console.print(Text.from_ansi(line))
        if lock is not None:
            os.close(lock)
    console.save_svg(str(PICTURES / "status.svg"), title="ocrd status (an example)")


def picture_of_boxes(page: Path) -> None:
    """`boxes.jpg`: a page with its boxes, small enough for a README."""
    with Image.open(page) as image:
        height = round(image.height * PAGE_WIDTH / image.width)
        small = image.convert("RGB").resize((PAGE_WIDTH, height), Image.Resampling.LANCZOS)
    small.save(PICTURES / "boxes.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    main()
