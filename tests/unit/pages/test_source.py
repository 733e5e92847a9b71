"""Files become pages through children; what breaks them is tried twice, then given up."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ocrd.children import ChildPool, Limits
from ocrd.errors import PageError
from ocrd.page import PageImage
from ocrd.pages.base import Rendering
from ocrd.pages.source import ChildPageSource
from tests.support.forked_children import fork_children
from tests.support.grain import saved
from tests.support.waiting import until
from tests.unit.children.support import children, from_proc, servants
from tests.unit.pages.conftest import Put, refused
from tests.unit.pages.pdfs import flat_image, image_object, many_pages, pdf, scan, stream
from tests.unit.pages.rasters import bomb, grey_frame, tiff
from tests.unit.pages.samples import of_text

Make = Callable[..., ChildPageSource]
FORKED = pytest.mark.usefixtures("forks")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes sources; their children end with the test.

    One that is forked has the address space of the tests, too, which may be large by then.
    """
    pools = []

    def make(
        *, processes: int = 1, memory_mib: int = 8192, page_wall_s: float = 60.0, **changed: Any
    ) -> ChildPageSource:
        pool = ChildPool(
            name="page worker",
            processes=processes,
            limits=Limits(memory_mib=memory_mib, cpu_s=60, wall_s=60.0),
            preload=("ocrd.pages.pdf", "ocrd.imaging"),
            threads=1,
        )
        pools.append(pool)
        wanted = Rendering(dpi=144, max_pixels=120_000_000, max_pages=5000)
        return ChildPageSource(pool, replace(wanted, **changed), page_wall_s=page_wall_s)

    yield make
    for pool in pools:
        pool.stop()


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children are up at once: for tests that are not about how they begin or what they take."""
    fork_children(monkeypatch.setattr)


@pytest.fixture(scope="module")
def slow() -> bytes:
    """A page that takes a second: 400 megapixels in a small file."""
    return scan(flat_image(20_000, 20_000, 90))


async def test_pages_come_through_children(make: Make, put: Put) -> None:
    source = make(processes=2)
    path = put(many_pages(6))

    assert (await source.inspect(path)).pages == 6
    images = await asyncio.gather(*(source.page(path, number) for number in range(1, 7)))
    bars = [image.rgb[:: image.width * 3].count(0) / image.height * 200 for image in images]
    assert bars == pytest.approx([1, 2, 3, 4, 5, 6], abs=0.3)
    assert len(children()) == 2


@FORKED
async def test_what_is_wrong_with_a_file_arrives_in_its_own_words(make: Make, put: Put) -> None:
    source = make()
    locked = of_text(1).tobytes(encryption=5, user_pw="sesame", owner_pw="open")
    with refused("encrypted", match="password"):
        await source.inspect(put(locked))


@FORKED
async def test_a_page_that_takes_too_long_twice_is_given_up(
    make: Make, put: Put, slow: bytes
) -> None:
    source = make(page_wall_s=0.01)  # not even a fast machine is that fast
    path = put(slow)
    with refused("timed-out", by=PageError, match="Page 1", hint="timeout_s"):
        await source.page(path, 1)


@FORKED
async def test_a_file_that_cannot_even_be_looked_at_in_time_is_given_up(
    make: Make, put: Put
) -> None:
    source = make(page_wall_s=0.05)
    path = put(b"%PDF-1.7\n" + b"1 0 obj\n<<" * 4_000_000)
    with refused("timed-out", match="The file takes too long"):
        await source.inspect(path)


@FORKED
async def test_a_page_whose_child_was_killed_once_is_delivered(
    make: Make, put: Put, slow: bytes
) -> None:
    path = put(slow)
    page = asyncio.create_task(make().page(path, 1))
    await kill_the_worker(path)

    image = await page
    assert image.rgb[:3] == bytes((90, 90, 90))


@FORKED
async def test_a_page_whose_child_dies_again_and_again_is_given_up(
    make: Make, put: Put, slow: bytes
) -> None:
    path = put(slow)
    page = asyncio.create_task(make().page(path, 1))
    await kill_the_worker(path)
    await kill_the_worker(path)
    with refused("killed", by=PageError, match="was killed"):
        await page


async def kill_the_worker(path: Path) -> None:
    """Kill the child that has the file open."""
    await until(lambda: any(has_open(child, path) for child in servants()))
    (victim,) = (child for child in servants() if has_open(child, path))
    os.kill(victim, signal.SIGKILL)
    await until(lambda: victim not in servants())


def has_open(child: int, path: Path) -> bool:
    with contextlib.suppress(OSError):
        folder = f"/proc/{child}/fd"
        links = (os.readlink(os.path.join(folder, name)) for name in os.listdir(folder))
        return os.fspath(path) in set(links)
    return False


def resident_mib(pid: int) -> float:
    """Memory of its own, MiB."""
    lines = from_proc(pid, "status").splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith(" kB")}
    return int(sizes.get("RssAnon", 0)) / 1024


async def test_an_image_that_needs_too_much_memory_is_too_large(make: Make, put: Put) -> None:
    path = put(bomb(9000))
    starved = make(memory_mib=256)
    with refused("too-large", by=PageError, match="memory", hint="memory_mib"):
        await starved.page(path, 1)

    image = await make(memory_mib=1024).page(path, 1)
    assert image == PageImage(5000, 5000, bytes(75_000_000))


async def test_a_child_stays_small_however_many_pages_it_has_drawn(make: Make, put: Put) -> None:
    source = make()
    count = 75
    path = put(scans(count))
    sizes = []
    for number in range(1, count + 1):
        image = await source.page(path, number)
        assert image.rgb[0] == number
        if number in (count // 3, count):
            (child,) = servants()
            sizes.append(resident_mib(child))

    assert sizes[1] < sizes[0] + 16


@FORKED
async def test_a_long_fax_is_read_frame_by_frame(make: Make, put: Put) -> None:
    source = make()
    path = put(tiff(*(grey_frame(level, 400, 300) for level in range(0, 200, 4))))

    assert (await source.inspect(path)).pages == 50
    for number in range(1, 51):
        assert (await source.page(path, number)).rgb[0] == 4 * (number - 1)


def scans(count: int) -> bytes:
    """A PDF of scans, no two alike: page n is of the grey n."""
    kids = b" ".join(b"%d 0 R" % (10 + 3 * n) for n in range(count))
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, count),
    }
    for n in range(count):
        jpeg = saved(Image.new("L", (1240, 1754), n + 1), "JPEG", quality=100)
        objects[10 + 3 * n] = (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R"
            b"/Resources<</XObject<</I %d 0 R>>>>>>" % (11 + 3 * n, 12 + 3 * n)
        )
        objects[11 + 3 * n] = stream(b"595 0 0 842 0 0 cm /I Do")
        objects[12 + 3 * n] = image_object((1240, 1754), jpeg, b"DCTDecode", colour=b"Gray")
    return pdf(objects)


def test_the_daemon_loads_neither_mupdf_nor_pillow() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, ocrd.pages.source; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert {"pymupdf", "PIL", "pillow_heif"}.isdisjoint(told.stdout.split())
