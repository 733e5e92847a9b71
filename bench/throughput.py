"""Pages per second of `ocrd run --once` against RapidOCR in a bare loop.  Expected: at least 0.9.

Both read the same page images with as many threads as there are cores; each side's time includes
loading its models.  The bare loop does nothing but recognise: no watching, no ledger, no moves, no
Markdown, no searchable PDF.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.common import machine, root_with
from tests.support.samples import scan_of

PAGES = 24
TEXT = (
    "The keeper of the light wrote down the wind, the weather and the ships that passed, every "
    "four hours, for thirty-one years. When the tower was made to work by itself the books were "
    "carried to the attic of the town hall, where nobody read them until the roof began to leak."
)
BARE = """
import sys
from pathlib import Path
import cv2
from rapidocr import RapidOCR
threads = "EngineConfig.onnxruntime.intra_op_num_threads"
engine = RapidOCR(params={"Global.log_level": "error", threads: int(sys.argv[1])})
for path in sorted(Path(sys.argv[2]).glob("*.jpg")):
    engine(cv2.imread(str(path)))
"""


def write_pages(into: Path) -> None:
    """Distinct letter pages at 200 dpi."""
    for number in range(PAGES):
        text = "\n\n".join(f"Entry {number}.{part}. {TEXT}" for part in range(8))
        scan = scan_of(text, width=612, height=792, size=11, dpi=200, seed=number)
        (into / f"page-{number:03d}.jpg").write_bytes(scan.data)


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    cores = len(os.sched_getaffinity(0))
    with root_with(engine='kind = "rapidocr"', watch="settle_s = 0.2") as root:
        inbox = root / "inbox" / "scans"
        write_pages(inbox)
        bare = timed([sys.executable, "-c", BARE, str(cores), str(inbox)])
        ocrd = str(Path(sys.executable).with_name("ocrd"))
        ours = timed([ocrd, "run", "--once", "--config", str(root / "config.toml")])
        bundles = len(list((root / "outbox" / "scans").iterdir()))
    if bundles != PAGES:
        raise SystemExit(f"{bundles} bundles for {PAGES} pages")
    print(machine())
    print(f"{PAGES} letter pages: ocrd {PAGES / ours:.3f} pages/s ({ours:.1f} s)")
    print(f"bare loop, {cores} threads: {PAGES / bare:.3f} pages/s ({bare:.1f} s)")
    print(f"ratio {bare / ours:.2f}")


if __name__ == "__main__":
    main()
