"""Makes the pictures of the README: `.venv/bin/python docs/make_pictures.py`.

One is what `ocrd status` shows of a busy GPU, drawn by its own code from the facts below; the other
the boxes that a real run over the demo's samples draws over a page.
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

from ocrd.cli import words
from ocrd.cli.demo import prepare
from ocrd.cli.status import plain
from ocrd.cli.words import iso

PICTURES = Path(__file__).parent / "pictures"
PAGE = "outbox/scans/two-columns/two-columns.boxes.jpg"
PAGE_WIDTH = 640  # pixels
TERMINAL_WIDTH = 92  # columns
NOON = 1_796_040_000.0  # of a day in November 2026


def folder(name: str, *counts: int, **more: Any) -> dict[str, Any]:
    """A folder with files waiting, running, done, failed."""
    named = dict(zip(("waiting", "running", "done", "failed"), counts, strict=True))
    quiet = {"paused": None, "conditions": [], "overdue": [], "waits_until": None, "unmarked": 0}
    return {"name": name, **named, "oldest_waiting_s": None, "settling": 0, **quiet, **more}


def ended(job: int, name: str, state: str, source: str, pages: int | None) -> dict[str, Any]:
    """A job that has ended a little before noon."""
    at = iso(NOON - 20.0 * (4711 - job))
    facts = {"id": job, "folder": name, "source": source, "state": state, "pages": pages}
    return {**facts, "finished_at": at, "error": None}


ENCRYPTED = {
    "kind": "encrypted",
    "message": "The PDF is protected by a password.",
    "hint": "Remove the password, then drop it again or `ocrd retry 4698`.",
}
FULL = {
    "kind": "disk-full",
    "message": "/srv/ocrd/outbox: no space left",
    "hint": "Free some; the folder goes on by itself.",
}
FACTS: dict[str, Any] = {
    "daemon": {"state": "running", "pid": 812, "since": iso(NOON - 86_400)},
    "engine": {"kind": "vllm", "state": "ready", "detail": "", "steps": []},
    "pages_per_s": 17.64,
    "pages_in_flight": 312,
    "left_s": 9_400.0,
    "folders": [
        folder("invoices", 0, 2, 48_212, 7),
        folder("pile", 61_240, 298, 9_330, 0, oldest_waiting_s=7_300.0),
        folder("hall", 14, 0, 2_061, 0, oldest_waiting_s=240.0, settling=3, paused=FULL),
    ],
    "troubles": [],
    "held": [],
    "strays": [{"path": "/srv/ocrd/inbox/unknown", "files": 2}],
    "failures": [{**ended(4698, "invoices", "failed", "2026/11/payslip.pdf", None)}],
    "latest": [
        ended(4711, "invoices", "done", "2026/11/scan-0412.pdf", 3),
        ended(4709, "pile", "done", "1987/minutes-044.tif", 12),
        ended(4705, "pile", "done", "1987/minutes-043.tif", 9),
    ],
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
    FACTS["failures"][0]["error"] = ENCRYPTED
    os.environ["COLUMNS"] = str(TERMINAL_WIDTH)
    words.on_screen = lambda: True
    console = Console(record=True, width=TERMINAL_WIDTH, file=io.StringIO(), force_terminal=True)
    for line in plain(FACTS):
        console.print(Text.from_ansi(line))
    console.save_svg(str(PICTURES / "status.svg"), title="ocrd status")


def picture_of_boxes(page: Path) -> None:
    """`boxes.jpg`: a page with its boxes, small enough for a README."""
    with Image.open(page) as image:
        height = round(image.height * PAGE_WIDTH / image.width)
        small = image.convert("RGB").resize((PAGE_WIDTH, height), Image.Resampling.LANCZOS)
    small.save(PICTURES / "boxes.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    main()
