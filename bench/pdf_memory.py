"""Peak memory for a PDF of 2,000 pages against one of 20.  Expected: at most 1.3."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pymupdf

from bench.common import Peak, machine, root_with
from tests.support.samples import scan_of

LONG, SHORT = 2000, 20


def book(path: Path, pages: int) -> None:
    """A scanned PDF: every page an image of its own."""
    document = pymupdf.open()
    for number in range(pages):
        scan = scan_of(
            f"Page {number} of a long book.", width=420, height=595, dpi=100, seed=number
        )
        page = document.new_page(width=420, height=595)
        page.insert_image(page.rect, stream=scan.data)
    document.save(path)


def peak_of(pages: int) -> int:
    """Bytes that the daemon and its children had at once at the most."""
    with root_with(watch="settle_s = 0.2", pages="workers = 2") as root:
        book(root / "inbox" / "scans" / "book.pdf", pages)
        command = [sys.executable, "-m", "bench.idle_daemon", str(root / "config.toml"), "ready"]
        with subprocess.Popen(command) as daemon, Peak(daemon.pid) as peak:
            daemon.wait()
        if not (root / "outbox" / "scans" / "book" / "book.pdf").exists():
            raise SystemExit("the book was not delivered")
    return peak.bytes


def main() -> None:
    short, long = peak_of(SHORT), peak_of(LONG)
    print(machine())
    print(f"{SHORT} pages: {short / 2**20:.0f} MiB; {LONG:,} pages: {long / 2**20:.0f} MiB")
    print(f"ratio {long / short:.2f}")


if __name__ == "__main__":
    main()
