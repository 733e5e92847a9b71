"""Tesseract as the reader of every page keeps the contract of all engines."""

from __future__ import annotations

from ocrd.engine.base import Engine
from ocrd.engine.rapid import RapidEngine
from ocrd.page import PageResult
from tests.support.needs import needs, slow
from tests.support.samples import Scan
from tests.unit.engine.contract import ReadingContract
from tests.unit.engine.test_rapid import wrong


@slow
@needs("tesseract")
class TestTesseract(ReadingContract):
    def make(self) -> Engine:
        return RapidEngine(kind="tesseract", workers=2, threads=1)

    def says(self, result: PageResult, scan: Scan) -> bool:
        return wrong(result.text, scan.page.text) <= 0.1
