"""A daemon without privileges tells what its child may: `python -m … FOLDER`."""

import asyncio
import sys
from pathlib import Path

from ocrd.errors import PageFaultError
from tests.unit.children import calls
from tests.unit.children.support import make_pool


async def _main(folder: Path) -> None:
    pool = make_pool()
    print("CapEff:" + _capabilities())
    print(
        "given:"
        + (await pool.run(calls.read, folder / "in" / "file", readable=[folder / "in"])).decode()
    )
    try:
        print("secret:" + (await pool.run(calls.read, folder / "secret")).decode())
    except PageFaultError:
        print("secret:refused")
    pool.stop()


def _capabilities() -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("CapEff"))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
