"""Makes the pictures of the README from a real run: `.venv/bin/python docs/make_pictures.py`.

A daemon of its own works off the demo's samples; one picture is what `ocrd status` shows while it
does, the other the boxes that it draws over a page.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ocrd.cli.table import status_view
from PIL import Image
from rich.console import Console

from ocrd.cli.demo import prepare
from ocrd.cli.locate import locate
from ocrd.cli.status import gather

PICTURES = Path(__file__).parent / "pictures"
PAGE = "outbox/scans/two-columns/two-columns.boxes.jpg"
PAGE_WIDTH = 640  # pixels
PATIENCE_S = 600.0
TERMINAL_WIDTH = 92  # columns


def main() -> None:
    """Make them all."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "srv"
        config = prepare(root)
        with daemon(config):
            picture_of_status(until(config, under_way))
            until(config, finished)
        picture_of_boxes(root / PAGE)


@contextmanager
def daemon(config: Path) -> Iterator[None]:
    """A running daemon; it is stopped at the end."""
    command = [sys.executable, "-m", "ocrd", "run", "--config", str(config)]
    process = subprocess.Popen(command)  # noqa: S603 - this very package
    try:
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def until(config: Path, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What `ocrd status` knows as soon as it has been `reached`.

    Raises:
        TimeoutError: That never came.
    """
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        facts = gather(locate(config))
        if reached(facts):
            return facts
        time.sleep(0.5)
    raise TimeoutError(f"{reached.__name__}: not within {PATIENCE_S:.0f} s")


def under_way(facts: dict[str, Any]) -> bool:
    """Some files are done, others are not, and the speed is known."""
    folder = facts["folders"][0]
    return bool(folder["done"] and folder["running"] and facts["pages_per_s"])


def finished(facts: dict[str, Any]) -> bool:
    """All samples are done."""
    folder = facts["folders"][0]
    return bool(folder["done"] and not folder["running"] and not folder["waiting"])


def picture_of_status(facts: dict[str, Any]) -> None:
    """`status.svg`: the table as a terminal shows it."""
    console = Console(record=True, width=TERMINAL_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(status_view(facts))
    console.save_svg(str(PICTURES / "status.svg"), title="ocrd status")


def picture_of_boxes(page: Path) -> None:
    """`boxes.jpg`: a page with its boxes, small enough for a README."""
    with Image.open(page) as image:
        height = round(image.height * PAGE_WIDTH / image.width)
        small = image.convert("RGB").resize((PAGE_WIDTH, height), Image.Resampling.LANCZOS)
    small.save(PICTURES / "boxes.jpg", quality=80, optimize=True)


if __name__ == "__main__":
    main()
