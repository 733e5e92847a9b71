"""The finished pages of a running job: a line each, which is there whole or not at all.

A line is the length of what follows and its CRC-32, eight hex digits each; then what is known of
the page as JSON and, behind a tab, what was read on it, as JSON, too.  The first line tells what
the pages were made of.  A line of an older ocrd is one JSON object without all that.
"""

from __future__ import annotations

import io
import json
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ocrd.files import Disk
from ocrd.job import JobError, Page, PageState
from ocrd.oserrors import blaming

_HEADER = 18
_RECIPE = "recipe"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A finished page.

    Attributes:
        page: What became of it.
        result: Its `PageResult` as JSON; None where nothing was read.
        came_from: Of which file it is which page, where that is not plain.
        pile_page: Which page of a pile it is, where it is numbered anew.
    """

    page: Page
    result: str | None
    came_from: Mapping[str, Any] | None = None
    pile_page: int | None = None

    def line(self) -> bytes:
        """As it stands in the log."""
        told = asdict(self.page) | {"came_from": self.came_from, "pile_page": self.pile_page}
        return _line(told, self.result)


class PageLog:
    """One job's `pages.jsonl`.  Only its worker writes it; its threads take turns.

    Args:
        path: Where it is.
        disk: The system calls.
        guard: What has to be so while the file is written to.
    """

    def __init__(
        self,
        path: Path,
        disk: Disk,
        guard: Callable[[Path], AbstractContextManager[None]] = blaming,
    ) -> None:
        self.path = path
        self._disk = disk
        self._guard = guard
        self._turn = threading.Lock()
        self._end: int | None = None  # of what is whole, once that is known
        self._head = b""  # a first line, to be written together with the first page

    def begin(self, recipe: str, content: str) -> None:
        """Keep what this recipe made before of this content (its digest); all else goes."""
        if self.recipe_of(content) != recipe:
            self._end = 0
            self._head = _line({_RECIPE: recipe, "content": content}, None)

    def recipe_of(self, content: str) -> str | None:
        """The recipe that made the pages of this content; None where there are none of it."""
        with self._opened() as file:
            head = _read(file.readline())[0] or {}
        return head[_RECIPE] if head.get("content") == content else None

    def append(self, entry: Entry) -> None:
        """Add a page; it is on the disk when this returns."""
        with self._turn, self._guard(self.path):
            if self._end is None:
                with self._opened() as file:
                    self._end = max((end for _, _, end in _lines(file)), default=0)
            line = self._head + entry.line()
            self._disk.append(self.path, line, self._end)
            if self._head:
                self._disk.fsync_dir(self.path.parent)
            self._head = b""
            self._end += len(line)

    def entries(self) -> Iterator[Entry]:
        """The pages by their numbers, one in memory at a time; what a crash has torn is not there.

        Raises:
            ValueError, KeyError, TypeError: A line is whole and no page.
        """
        with self._opened() as file:
            found = _lines(file)
            places = {told["number"]: place for place, told, _ in found if _RECIPE not in told}
            for number in sorted(places):
                file.seek(places[number])
                told, result = _read(file.readline())
                if told is None:
                    raise ValueError("a line changed while the pages were read")
                came_from, pile_page = told.pop("came_from", None), told.pop("pile_page", None)
                state, why = PageState(told.pop("state")), told.pop("error")
                page = Page(**told, state=state, error=why and JobError(**why))
                yield Entry(page=page, result=result, came_from=came_from, pile_page=pile_page)

    def count(self) -> int:
        """How many lines hold a page."""
        with self._opened() as file:
            return sum(_RECIPE not in told for _, told, _ in _lines(file))

    def _opened(self) -> BinaryIO:
        """To be read; as empty while there is nothing, or nothing of what was begun."""
        with blaming(self.path), suppress(FileNotFoundError, NotADirectoryError):
            if not self._head:
                return self._disk.open(self.path)
        return io.BytesIO()


def _lines(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any], int]]:
    """Of each whole line where it begins, what it tells but for the result, where it ends."""
    end = 0
    while (told := _read(file.readline())[0]) is not None:
        place, end = end, file.tell()
        yield place, told, end


def _line(told: Mapping[str, Any], result: str | None) -> bytes:
    content = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
    whole = _whole(content if result is None else f"{content}\t{result}").encode()
    return b"%08x %08x %s\n" % (len(whole), zlib.crc32(whole), whole)


def _read(line: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """What a line tells, and the result on it; None if it is torn."""
    if line.startswith(b"{"):
        return _read_old(line)
    header, content = line[:_HEADER], line[_HEADER:-1]
    if header != b"%08x %08x " % (len(content), zlib.crc32(content)) or line[-1:] != b"\n":
        return None, None
    told, tab, result = content.partition(b"\t")
    return json.loads(told), result.decode() if tab else None


def _read_old(line: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """The same of a line that an older ocrd wrote."""
    if not line.endswith(b"\n"):
        return None, None
    told = json.loads(_whole(json.dumps(json.loads(line), ensure_ascii=False)))
    result = told.pop("result", None)
    return told, None if result is None else json.dumps(result, ensure_ascii=False)


def _whole(text: str) -> str:
    """Replace halves of surrogate pairs, which no UTF-8 file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
