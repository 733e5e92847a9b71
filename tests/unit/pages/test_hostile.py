"""Hundreds of damaged files; each ends in page images or in a stated reason.

`OCRD_HOSTILE_N` sets how many (thousands for a long run), `OCRD_HOSTILE_SEED` another seed.
"""

import asyncio
import os
import sysconfig
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

import pytest

from ocrd.children import ChildPool, Limits
from ocrd.errors import BadFileError, OcrdError, PageError
from ocrd.pages.base import Rendering
from ocrd.pages.source import ChildPageSource
from tests.support.needs import slow
from tests.unit.children.support import children, descriptors, from_proc
from tests.unit.pages.mutate import mutated
from tests.unit.pages.samples import all_files

COUNT = int(os.environ.get("OCRD_HOSTILE_N", "600"))
SEED = os.environ.get("OCRD_HOSTILE_SEED", "1")

BAD_ENDS = "empty unsupported encrypted damaged no-pages too-large crashed timed-out"
STATED = frozenset(BAD_ENDS.split())
MAX_SIDE = 1500
WALL_S = 60.0
OF_A_CHILD = 2  # descriptors: its socket and its slate
MAX_PAGES_READ = 4
FOREIGN = 25  # files of other projects, as far as there are any
FOREIGN_BYTES = 300_000
NAMED = ".bmp .gif .heic .jp2 .jpeg .jpg .pdf .png .ppm .tif .tiff .webp"
SUFFIXES = frozenset(NAMED.split())


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[ChildPool]:
    """Two children with little memory and little time of the CPU, however busy the machine."""
    pool = ChildPool(
        name="page worker",
        processes=2,
        limits=Limits(memory_mib=512, cpu_s=5, wall_s=WALL_S),
        preload=("ocrd.pages.pdf", "ocrd.imaging"),
        threads=1,
    )
    yield pool
    pool.stop()
    assert children() == set()


@pytest.fixture
def source(pool: ChildPool) -> ChildPageSource:
    """Small pages, so that many files can be tried."""
    wanted = Rendering(dpi=60, max_pixels=20_000_000, max_pages=500, max_side=MAX_SIDE)
    return ChildPageSource(pool, wanted, page_wall_s=WALL_S)


async def end_of(source: ChildPageSource, path: Path) -> str:
    """How a file ends: `read`, or the kind of its first error.  Anything else fails the test."""
    try:
        info = await source.inspect(path)
        assert 1 <= info.pages <= 500
        for number in range(1, min(info.pages, MAX_PAGES_READ) + 1):
            image = await source.page(path, number)
            assert 0 < max(image.width, image.height) <= MAX_SIDE
            assert len(image.rgb) == image.width * image.height * 3
    except (BadFileError, PageError) as error:
        assert error.kind in STATED, f"{error.kind}: {error} {error.__cause__!r}"
        assert error.message
        assert error.hint
        return error.kind
    return "read"


async def ends_of(source: ChildPageSource, files: Iterator[tuple[str, Path]]) -> dict[str, str]:
    """How each file ends, two at a time; files are removed once they have."""
    ends: dict[str, str] = {}

    async def work() -> None:
        for name, path in files:
            try:
                ends[name] = await end_of(source, path)
            except (AssertionError, OcrdError) as error:
                raise AssertionError(f"{name} (kept as {path}): {error}") from error
            path.unlink()

    await asyncio.gather(work(), work())
    return ends


def damaged(files: dict[str, bytes], count: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """So many damaged files, written one at a time."""
    names = sorted(files)
    contents = [files[name] for name in names]
    for number in range(count):
        name = names[number % len(names)]
        path = folder / f"{number}.pdf"
        path.write_bytes(mutated(files[name], contents, f"{SEED}:{number}"))
        yield f"{name}, damage {number} of seed {SEED}", path


def resident_mib() -> float:
    return int(from_proc(os.getpid(), "statm").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@slow
@pytest.mark.timeout(max(900, 2 * COUNT))
async def test_every_damaged_file_ends_in_pages_or_a_stated_reason(
    source: ChildPageSource, pool: ChildPool, tmp_path: Path
) -> None:
    files = damaged(all_files(), COUNT, tmp_path)
    warm = await ends_of(source, islice(files, COUNT // 4))
    before, open_before = resident_mib(), descriptors()
    ends = warm | await ends_of(source, files)

    assert len(ends) == COUNT
    assert {"read", "damaged"} <= set(ends.values())
    assert pool.alive()
    assert len(children()) <= 2
    assert descriptors() <= open_before + 2 * OF_A_CHILD  # there may have been none just then
    assert resident_mib() < before + 64


async def test_whole_files_of_every_kind_are_read(source: ChildPageSource, tmp_path: Path) -> None:
    files = all_files()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    ends = await ends_of(source, ((name, tmp_path / name) for name in files))

    assert ends == dict.fromkeys(files, "read")


def foreign() -> dict[str, bytes]:
    """Images and PDFs that packages on this machine brought along; perhaps none."""
    roots = {sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), "/usr/share"}
    paths = (path for root in sorted(roots) for path in sorted(Path(root).rglob("*.*")))
    fitting = (
        path
        for path in paths
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and 0 < path.stat().st_size < FOREIGN_BYTES
    )
    return {os.fspath(path): path.read_bytes() for path in islice(fitting, FOREIGN)}


@slow
async def test_files_of_other_projects_end_in_pages_or_a_stated_reason(
    source: ChildPageSource, tmp_path: Path
) -> None:
    files = foreign()
    whole = []
    for number, (name, content) in enumerate(files.items()):
        path = tmp_path / f"whole-{number}"
        path.write_bytes(content)
        whole.append((name, path))
    ends = await ends_of(source, iter(whole))
    broken = await ends_of(source, damaged(files, 3 * len(files), tmp_path))

    assert (len(ends), len(broken)) == (len(files), 3 * len(files))
