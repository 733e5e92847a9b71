"""A daemon with one busy child, for a test to kill: `python -m tests.unit.children.daemon FILE`."""

import asyncio
import sys
from pathlib import Path

from tests.unit.children import calls
from tests.unit.children.support import make_pool


async def _main(file: Path) -> None:
    pool = make_pool(wall_s=600.0)
    await pool.run(calls.announce_and_sleep, file, 600.0, writable=[file.parent])


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
