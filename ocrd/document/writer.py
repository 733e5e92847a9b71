"""Writes a new PDF object by object, keeping none in memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType


class PdfWriter:
    """A new PDF file; a context manager that writes the page tree and the table on a clean exit."""

    _CATALOG, _PAGES = 1, 2

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._offsets: dict[int, int] = {}
        self._next = 3
        self._kids: list[int] = []

    def __enter__(self) -> PdfWriter:
        self._file.write(b"%PDF-1.6\n%\xe2\xe3\xcf\xd3\n")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish()
        self._file.close()

    def add(self, entries: str, stream: bytes | None = None) -> int:
        """Write a dictionary with these entries, and a stream if given; its object number."""
        number = self._next
        self._next += 1
        self._write(number, entries, stream)
        return number

    def add_page(self, width: float, height: float, resources: str, content: bytes) -> None:
        """Write the next page; width and height in points."""
        body = self.add("", content)
        page = self.add(
            f"/Type/Page/Parent {self._PAGES} 0 R/MediaBox[0 0 {width:.3f} {height:.3f}]"
            f"/Resources<<{resources}>>/Contents {body} 0 R"
        )
        self._kids.append(page)

    def _write(self, number: int, entries: str, stream: bytes | None = None) -> None:
        self._offsets[number] = self._file.tell()
        length = "" if stream is None else f"/Length {len(stream)}"
        self._file.write(f"{number} 0 obj\n<<{entries}{length}>>\n".encode("ascii"))
        if stream is not None:
            self._file.write(b"stream\n" + stream + b"\nendstream\n")
        self._file.write(b"endobj\n")

    def _finish(self) -> None:
        kids = " ".join(f"{page} 0 R" for page in self._kids)
        self._write(self._PAGES, f"/Type/Pages/Count {len(self._kids)}/Kids[{kids}]")
        self._write(self._CATALOG, f"/Type/Catalog/Pages {self._PAGES} 0 R")
        start = self._file.tell()
        table = [b"xref\n", f"0 {self._next}\n".encode(), b"0000000000 65535 f \n"]
        table += [f"{self._offsets[n]:010d} 00000 n \n".encode() for n in range(1, self._next)]
        self._file.writelines(table)
        trailer = f"trailer\n<</Size {self._next}/Root {self._CATALOG} 0 R>>\n"
        self._file.write(f"{trailer}startxref\n{start}\n%%EOF\n".encode())
