"""A plain watcher for comparison, in the manner of OCRmyPDF's: watch, OCR, move.

    python -m tests.slow.faults.watcher ROOT FOLDER...

When an event names a file, it waits in the event handler until the file has stopped growing, writes
the text and a PDF straight to the outbox, and moves the original to the archive.  It does not scan
at the start and keeps no record of what it has done: that is the point of the comparison.
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from pathlib import Path

import pymupdf
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

PAGE_S = 0.05  # time to read a page
READY_S = 0.2  # between two looks at a file's size
TRIES = 10

log = logging.getLogger("watcher")


class Handler(FileSystemEventHandler):
    """Processes each file that an event names.

    Args:
        root: The common parent of inbox, outbox and archive.
        folder: The folder's name below each of them.
    """

    def __init__(self, root: Path, folder: str) -> None:
        self._inbox, self._outbox, self._archive = (
            root / tree / folder for tree in ("inbox", "outbox", "archive")
        )

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Process a file that was created, changed or moved in."""
        if event.is_directory or event.event_type not in ("created", "modified", "moved"):
            return
        path = Path(str(event.dest_path or event.src_path))
        try:
            if path.is_file() and not path.name.startswith(".") and _ready(path):
                self._process(path)
        except Exception:  # one bad file must not end the watcher
            log.exception("%s failed", path)

    def _process(self, path: Path) -> None:
        below = path.relative_to(self._inbox)
        output = (self._outbox / below).with_suffix(".pdf")
        archived = self._archive / below
        for target in (output, archived):
            target.parent.mkdir(parents=True, exist_ok=True)
        _read(path, output)
        shutil.move(path, archived)
        log.info("%s is done", path)


def _ready(path: Path) -> bool:
    """Wait until the file is not empty and has the same size twice; False if it never has."""
    size = -1
    for _ in range(TRIES):
        now = path.stat().st_size
        if now and now == size:
            return True
        size = now
        time.sleep(READY_S)
    return False


def _read(path: Path, output: Path) -> None:
    """Simulated OCR: each page takes `PAGE_S`, and its text is its size."""
    with pymupdf.open(path) as document:
        said = []
        for page in document:
            time.sleep(PAGE_S)
            said.append(f"page {page.number + 1}: {page.rect.width} by {page.rect.height}\n")
        pdf = document.tobytes() if document.is_pdf else document.convert_to_pdf()
    output.with_suffix(".txt").write_text("".join(said), encoding="utf-8")
    output.write_bytes(pdf)


def main() -> None:
    """Watch until told to stop."""
    logging.basicConfig(level=logging.INFO)
    root, *folders = sys.argv[1:]
    observer = Observer()
    for folder in folders:
        inbox = Path(root, "inbox", folder)
        observer.schedule(Handler(Path(root), folder), str(inbox), recursive=True)
    observer.start()
    observer.join()


if __name__ == "__main__":
    main()
