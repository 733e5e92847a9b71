"""A done marker lies beside its file, is no document, and is looked for now and then."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.files import Disk, FileFacts
from ocrd.inbox.marker import LOOK_S, Marker, Marks
from ocrd.inbox.settle import Candidate
from tests.unit.inbox.support import Clock

SCAN = Candidate("in/scan.pdf", FileFacts(size=1, mtime_ns=1, inode=1))


@pytest.mark.parametrize(
    ("template", "of_file", "of_document"),
    [
        ("{name}.done", "in/scan.pdf.done", "in/scan.2024.done"),
        ("{stem}.done", "in/scan.done", "in/scan.2024.done"),
        (".{name}-{stem}.ok", "in/.scan.pdf-scan.ok", "in/.scan.2024-scan.2024.ok"),
    ],
)
def test_it_is_called_as_the_template_says(template: str, of_file: str, of_document: str) -> None:
    marker = Marker(template)
    assert marker.of("in/scan.pdf") == of_file
    assert marker.of("in/scan.2024", document=True) == of_document


def test_a_file_whose_name_looks_like_a_template_is_taken_by_its_word() -> None:
    assert Marker("{name}.{stem}").of("{stem}.pdf") == "{stem}.pdf.{stem}"


def test_a_marker_is_known_by_its_name_and_not_by_its_file() -> None:
    marker = Marker("{stem}.(ok)")
    assert marker.is_one("in/anything.(ok)")
    assert marker.is_one("line\nbreak.(ok)")
    assert not marker.is_one("in/anything.ok")
    assert not marker.is_one(".(ok)/scan.pdf")
    assert not marker.is_one(".(ok)")


class TestMarks:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock(0.0)

    @pytest.fixture
    def marks(self, tmp_path: Path, clock: Clock) -> Marks:
        (tmp_path / "in").mkdir()
        marks = Marks(tmp_path, Disk(), Marker("{name}.done"), clock)
        marks.add(SCAN)
        return marks

    def test_a_file_waits_until_its_marker_lies_there(
        self, marks: Marks, clock: Clock, tmp_path: Path
    ) -> None:
        assert (marks.take(), list(marks)) == ([], ["in/scan.pdf"])
        (tmp_path / "in" / "scan.pdf.done").touch()
        clock.now += LOOK_S
        assert (marks.take(), list(marks)) == ([SCAN], [])

    def test_it_is_not_looked_for_at_every_step(
        self, marks: Marks, clock: Clock, tmp_path: Path
    ) -> None:
        marks.take()
        (tmp_path / "in" / "scan.pdf.done").touch()
        clock.now = 0.9 * LOOK_S
        assert (marks.due(), marks.take()) == (False, [])
        clock.now = LOOK_S
        assert (marks.due(), marks.take()) == (True, [SCAN])

    def test_a_new_file_need_not_wait_for_the_next_look(self, marks: Marks, tmp_path: Path) -> None:
        marks.take()
        (tmp_path / "in" / "new.pdf.done").touch()
        new = SCAN._replace(path="in/new.pdf")
        marks.add(new)
        assert (marks.take(), list(marks)) == ([new], ["in/scan.pdf"])

    @pytest.mark.parametrize("kind", ["folder", "link"])
    def test_only_a_file_is_a_marker(self, marks: Marks, tmp_path: Path, kind: str) -> None:
        marker = tmp_path / "in" / "scan.pdf.done"
        marker.mkdir() if kind == "folder" else marker.symlink_to(tmp_path)
        assert marks.take() == []

    def test_a_name_too_long_for_a_marker_is_none(self, marks: Marks) -> None:
        long = SCAN._replace(path="x" * 253 + ".p")
        marks.add(long)
        assert marks.take() == []

    def test_a_documents_marker_has_its_name(self, marks: Marks, tmp_path: Path) -> None:
        assert not marks.of_document("in/letter")
        (tmp_path / "in" / "letter.done").touch()
        assert marks.of_document("in/letter")
