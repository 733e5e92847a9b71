"""The daemon's side of the embedded engine."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ocrd.children import ChildPool, Limits
from ocrd.engine.base import EngineReport, EngineState, PageRequest
from ocrd.engine.rapid import child
from ocrd.engine.tesseract import packs
from ocrd.errors import EngineDownError, EngineSetupError, PageError, PageFaultError
from ocrd.languages import languages
from ocrd.modes import BUILT_IN_MODES, PromptMode, Resolution
from ocrd.page import PageImage, PageResult

RAPIDOCR, TESSERACT = "rapidocr", "tesseract"
PACKAGES = ("rapidocr", "onnxruntime", "numpy", "cv2")
HINT = "Install what it needs: pip install 'ocrd-daemon[cpu]'"
MOST_WORKERS = 4  # unless configured otherwise
WORKER_MIB = 1024  # free memory needed for each worker at the start
MEMORY_MIB = 6144  # address space of a worker, which uses far less
PAGE_S = 300.0
PAGES_A_WORKER = 500  # after so many pages a worker is replaced
DPI = 200
TEST_WORD = "Ready"

_FORMS = {BUILT_IN_MODES[name].prompt: name for name in child.FORMS}


@dataclass(frozen=True, slots=True)
class Share:
    """How the cores are shared: `workers` pages concurrently, with `threads` threads each."""

    workers: int
    threads: int


def share(workers: int | None, threads: int | None, *, cores: int, available_mib: int) -> Share:
    """Share the cores between workers and threads; a number that is given is kept.

    One thread per worker is most efficient, so there are as many workers as cores and memory
    allow, but at most four; the remaining cores are used for more threads.
    """
    if workers is None:
        fitting = max(1, available_mib // WORKER_MIB)
        workers = max(1, min(MOST_WORKERS, fitting, cores // (threads or 1)))
    return Share(workers, threads or max(1, cores // workers))


class RapidEngine:
    """RapidOCR in resident child processes, together with Tesseract; an `Engine`.

    RapidOCR finds the lines of every page.  Its own model reads them, or Tesseract if the page's
    language requires it.

    Args:
        kind: With `tesseract`, Tesseract reads all pages, as English if no language is named.
        workers: Child processes, so also concurrent pages; None: by cores and memory.
        threads: Threads that each may use; None: by cores.
        memory_mib: Address space of a worker.
        page_s: Seconds that a page may take before its worker is killed.
    """

    dpi = DPI

    def __init__(
        self,
        *,
        kind: str = RAPIDOCR,
        workers: int | None = None,
        threads: int | None = None,
        memory_mib: int = MEMORY_MIB,
        page_s: float = PAGE_S,
    ) -> None:
        cores, memory = len(os.sched_getaffinity(0)), _available_mib()
        self._share = share(workers, threads, cores=cores, available_mib=memory)
        self._limits = Limits(
            memory_mib=memory_mib,
            cpu_s=math.ceil(page_s * self._share.threads),
            wall_s=page_s,
        )
        self._pool: ChildPool | None = None
        self._state = EngineState.STOPPED
        self._detail = ""
        self.kind = kind
        self.model = self.named("")[1]

    @property
    def capacity(self) -> int:
        """A page for each worker and one that waits, so that no worker is idle between pages."""
        return self._share.workers + 1

    def named(self, language: str) -> tuple[str, str]:
        """Tesseract if so configured, or if RapidOCR's model reads one of the languages badly."""
        by_tesseract = for_tesseract(language, self.kind)
        if not by_tesseract:
            return RAPIDOCR, model()
        return TESSERACT, f"{packs.described(languages(by_tesseract))}, lines by {model()}"

    def report(self) -> EngineReport:
        """The engine's present state; `restarting` while no worker is alive."""
        state = self._state
        if state is EngineState.READY and self._pool is not None and not self._pool.alive():
            state = EngineState.RESTARTING
        device = f"CPU, {self._share.workers} x {self._share.threads} threads"
        return EngineReport(state=state, detail=self._detail, devices=(device,))

    def unsupported(self, mode: PromptMode) -> str | None:
        """None for a mode that asks for text; otherwise a sentence that names the alternatives."""
        if mode.prompt in _FORMS:
            return None
        return (
            f"The embedded engine ({self.kind}) cannot serve mode {mode.name!r}; it has only "
            f"{', '.join(_FORMS.values())}. The engine vllm serves all modes."
        )

    def unsupported_resolution(self, resolution: Resolution) -> str | None:
        """None: every page is read at its own size."""
        return None

    def missing(self, language: str = "") -> EngineSetupError | None:
        """The error for packages that pages in these languages need and that are not installed."""
        return missing() or packs.missing(languages(for_tesseract(language, self.kind)))

    async def start(self, progress: Callable[[str], None]) -> None:
        """Start the workers; each must read a test word before it is trusted with pages."""
        if error := self.missing():
            self._failed(error.message)
            raise error
        self._state = EngineState.LOADING
        pool = self._pool = ChildPool(
            name="OCR worker",
            processes=self._share.workers,
            limits=self._limits,
            max_tasks=PAGES_A_WORKER,
            threads=self._share.threads,
            resident=True,
        )
        try:
            await self._warm_up(progress)
        except BaseException as error:
            pool.stop()
            if self._pool is pool:  # otherwise it was stopped while it started
                self._failed(str(error))
            raise
        self._state, self._detail = EngineState.READY, ""

    async def _warm_up(self, progress: Callable[[str], None]) -> None:
        workers, page = self._share.workers, _test_page()
        self._detail = f"loading {self.model}"
        progress(self._detail)
        tests = [asyncio.create_task(self._test(page)) for _ in range(workers)]
        try:
            for ready, test in enumerate(asyncio.as_completed(tests), start=1):
                await test
                self._detail = f"worker {ready} of {workers} ready"
                progress(self._detail)
        finally:  # after a failure or cancellation, end the other tests, too
            for one in tests:
                one.cancel()
            await asyncio.gather(*tests, return_exceptions=True)

    async def _test(self, page: PageImage) -> None:
        for last in (False, False, True):
            try:
                result = await self._read(page, "ocr", for_tesseract("", self.kind))
                break
            except PageFaultError as error:
                if last or error.kind != "crashed":  # a single killed worker may be an accident
                    raise EngineSetupError(
                        f"The embedded engine cannot read a test page: {error.message}",
                        hint="If workers are killed again and again, memory is short (`dmesg` tells"
                        f" of it): lower engine.workers.  Else: {HINT[0].lower()}{HINT[1:]}",
                    ) from error
        if result.text != TEST_WORD:
            raise EngineSetupError(
                f"The embedded engine read {result.text!r} where {TEST_WORD!r} is written.",
                hint=HINT,
            )

    async def recognise(self, request: PageRequest) -> PageResult:
        """Read one page; the priority of requests is ignored: the caller must respect it."""
        if self._state is not EngineState.READY:
            raise EngineDownError(
                "The embedded engine is not running.", hint="It is started with the daemon."
            )
        if (why := self.unsupported(request.mode)) is not None:
            raise PageError(
                why,
                hint="Give the folder another mode, or set engine.kind to vllm.",
                kind="unsupported-mode",
            )
        if (lacking := self.missing(request.language)) is not None:  # removed since the start
            raise EngineDownError(lacking.message, hint=lacking.hint, kind=lacking.kind)
        language = for_tesseract(request.language, self.kind)
        return await self._read(request.image, _FORMS[request.mode.prompt], language)

    async def _read(self, image: PageImage, form: str, language: str) -> PageResult:
        assert self._pool is not None  # noqa: S101 - set by start before anything is read
        return await self._pool.run(child.read, image, form, self._share.threads, language)

    async def stop(self) -> None:
        """Stop the workers; pages in flight fail with `EngineDownError`."""
        if self._pool is not None:
            self._pool.stop()
        self._pool, self._state, self._detail = None, EngineState.STOPPED, ""

    def _failed(self, why: str) -> None:
        self._state, self._detail = EngineState.FAILED, why


def for_tesseract(language: str, kind: str) -> str:
    """The languages to give to Tesseract; empty if RapidOCR's own model reads the page."""
    if kind == TESSERACT:
        return language or "en"
    return "" if all(each.by_rapidocr for each in languages(language)) else language


def _test_page() -> PageImage:
    image = Image.new("RGB", (320, 96), "white")
    font = ImageFont.load_default(size=48)
    ImageDraw.Draw(image).text((64, 16), TEST_WORD, fill="black", font=font)
    return PageImage(image.width, image.height, image.tobytes())


def _available_mib() -> int:
    """Available memory in MiB; a very large number if the kernel does not report it."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 1 << 20


def missing(packages: Sequence[str] = PACKAGES) -> EngineSetupError | None:
    """The error if one of the Python packages is missing, otherwise None."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return EngineSetupError(
        f"The embedded engine needs packages that are not installed: {', '.join(absent)}.",
        hint=HINT,
        kind="packages-missing",
    )


def model() -> str:
    """Name of the models and version of the package, such as `PP-OCRv6 (rapidocr 3.10.0)`."""
    found = importlib.util.find_spec("rapidocr")
    if found is None or found.origin is None:
        return "rapidocr (not installed)"
    names = {path.name.split("_")[0] for path in models(Path(found.origin)).glob("*_rec_*.onnx")}
    return f"{' '.join(sorted(names))} (rapidocr {metadata.version('rapidocr')})"


def models(package: Path) -> Path:
    """The folder of the models, given the path of the package's `__init__.py`."""
    return package.parent / "models"
