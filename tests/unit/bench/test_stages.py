"""Where a wave's time went, told from the moments at which its files passed each stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.passages import PassageDisk, Passages, in_spool
from bench.stages import markdown, phase_rows, rate, stage_rows, turned

FILES = 11


def trace() -> dict[str, Any]:
    """Eleven files: opened every tenth of a second, sent 2 s later, answered together at 20 s."""
    opened = {str(job): 5.0 + job / 10 for job in range(FILES)}
    return {
        "ready": 4.0,
        "passages": {
            "opened": opened,
            "sent to vLLM": {job: at + 2.0 for job, at in opened.items()},
            "first token": {},
            "answered": dict.fromkeys(opened, 20.0),
            "done": dict.fromkeys(opened, 22.0),
        },
        "loop": [(6.0, 0.001), (6.1, 0.002), (6.2, 0.009), (21.0, 0.5)],
        "lock": [],
        "usage": [(3.0, {"user": 1.0}), (8.0, {"user": 6.0}), (24.0, {"user": 14.0})],
        "children": [],
    }


def test_a_stage_has_its_first_and_last_file_its_rate_and_the_wait_before_it() -> None:
    opened, sent, answered, done = stage_rows(trace())
    assert (opened["stage"], opened["files"], opened["wait_s"]) == ("opened", FILES, None)
    assert (opened["first_s"], opened["last_s"]) == pytest.approx((1.0, 2.0))
    assert opened["per_s"] == pytest.approx(10)
    assert (sent["stage"], sent["wait_s"]) == ("sent to vLLM", pytest.approx(2))
    assert (answered["per_s"], done["wait_s"]) == (None, pytest.approx(2))


def test_stragglers_do_not_count_for_the_rate() -> None:
    moments = [0.0, *(10 + number / 4 for number in range(9)), 100.0]
    assert rate(moments) == pytest.approx(4)


def test_a_phase_has_what_was_used_in_it_and_how_late_things_were() -> None:
    first, reading, out = phase_rows(trace())
    assert (first["seconds"], reading["seconds"], out["seconds"]) == pytest.approx((4, 12, 2))
    assert (first["user CPU, s"], out["user CPU, s"]) == pytest.approx((4, 1))
    assert (first["loop late, median, ms"], first["loop late, p99, ms"]) == pytest.approx((2, 2))
    assert (reading["loop late, p99, ms"], first["lock late, median, ms"]) == (None, None)


def test_tables_are_markdown() -> None:
    rows: list[dict[str, Any]] = [
        {"phase": "in", "seconds": 1.23456},
        {"phase": "out", "seconds": None},
    ]
    assert markdown(rows) == "| phase | seconds |\n|---|---|\n| in | 1.23 |\n| out | - |"
    assert markdown(turned(rows)) == "| phase | in | out |\n|---|---|---|\n| seconds | 1.23 | - |"


def test_a_path_tells_whose_folder_of_the_spool_it_lies_in() -> None:
    spool = Path("/srv/ocrd/.ocrd/jobs")
    assert in_spool(spool / "7-token" / "bundle" / "a.md") == ("7-token", "bundle")
    assert in_spool(spool / "7-token") == ("7-token", "")
    assert in_spool(Path("/srv/ocrd/inbox/scans/a.pdf")) == ("", "")


def test_the_disk_tells_of_what_moves_through_the_spool(tmp_path: Path) -> None:
    passages = Passages()
    disk = PassageDisk(passages)
    home, outbox = tmp_path / ".ocrd" / "jobs" / "7-token", tmp_path / "outbox"
    home.parent.mkdir(parents=True)
    outbox.mkdir()
    (tmp_path / "a.pdf").write_bytes(b"scan")
    disk.mkdir(home)
    disk.rename(tmp_path / "a.pdf", home / "source.pdf")
    disk.mkdir(home / "bundle")
    (home / "bundle" / "a.md").write_text("text")
    disk.fsync_file(home / "bundle" / "a.md")
    disk.create(home / "sealed")
    disk.rename_exclusive(home / "bundle", outbox / "a")
    disk.rename_exclusive(home / "source.pdf", outbox / "a.pdf")
    passed = [stage for stage, at in passages.at.items() if list(at) == [7]]
    assert passed == [
        "claimed",
        "in the spool",
        "bundle asked",
        "bundle built",
        "sealed",
        "published",
        "archived",
    ]
    moments = [passages.at[stage][7] for stage in passed]
    assert moments == sorted(moments)
