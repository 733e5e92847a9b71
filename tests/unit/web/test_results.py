"""What the web takes out of an outbox in which others may write, and how interfaces tell it."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocrd.config import load
from ocrd.files import Disk
from ocrd.job import Job, JobState, Member, Place
from ocrd.web import azure, mistral
from ocrd.web.changes import Changes
from ocrd.web.desk import Desk
from ocrd.web.errors import MissingError
from ocrd.web.results import Results, _zipped
from ocrd.web.store import Store

SECRET = "what only the daemon may read"
BLOCKS = [
    {"label": "page_header", "text": "Acme", "boxes": [[0, 0, 1, 0.1]]},
    {"label": "image", "text": "", "boxes": [[0, 0.1, 0.5, 0.2]], "image": "images/1-1.jpg"},
    {"label": "image", "text": "", "boxes": [[0.5, 0.1, 0.51, 0.11]], "image": "images/1-2.jpg"},
    {"label": "table", "text": "a b", "boxes": [[0, 0.3, 1, 0.4]]},
    {"label": "table", "text": "c d", "boxes": [[0, 0.5, 1, 0.6]]},
    {"label": "footer", "text": "Page 1", "boxes": [[0, 0.9, 1, 1]]},
]
TEXT = (
    "<sub>Acme</sub>\n\n![](images/1-1.jpg)\n\n![](images/1-2.jpg)\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    '<table>\n<tr><td colspan="2">c</td></tr>\n</table>\n\n<sub>Page 1</sub>'
)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    known = Disk()
    known.know(tmp_path / "outbox")
    return known


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    made = tmp_path / "outbox/2026/scan"
    (made / "images").mkdir(parents=True)
    page = {"number": 1, "span": [0, len(TEXT)], "size_in": [5, 10], "blocks": BLOCKS}
    (made / "scan.md").write_text(TEXT)
    (made / "scan.json").write_text(json.dumps({"pages": [page]}))
    (made / "images/1-1.jpg").write_bytes(b"a picture")
    (tmp_path / "elsewhere").mkdir()
    for name in ("scan.md", "scan.pdf", "1-1.jpg", "notes.txt"):
        (tmp_path / "elsewhere" / name).write_text(SECRET)
    return made


def done(outputs: Path) -> Job:
    return Job(
        id=1, token="t", folder="web", source="2026/scan.png", state=JobState.DONE,
        place=Place.ARCHIVE, epoch=1, attempts=1, priority=0, size=1, mtime_ns=1, inode=1,
        sha256="00", created_at=0.0, outputs=str(outputs), pages=1, pages_done=1, not_before=0.0,
        started_at=1.0, finished_at=2.0, archived_to=None, failed_to=None, error=None,
        cancel_requested=False,
    )  # fmt: skip


def whole(results: Results) -> bytes:
    return b"".join(_zipped(results))


PLANTED: list[Callable[[Path, Path], None]] = [
    lambda made, away: (made / "scan.pdf").symlink_to(away / "scan.pdf"),
    lambda made, away: (made / "more").symlink_to(away),
    lambda made, away: (made / "images/1-2.jpg").symlink_to(away / "1-1.jpg"),
    lambda made, _: os.mkfifo(made / "scan.pdf"),
    lambda made, away: (made / "images/deep").symlink_to(away, target_is_directory=True),
]


@pytest.mark.parametrize("plant", PLANTED)
def test_a_link_in_a_bundle_is_not_followed(
    tmp_path: Path, bundle: Path, disk: Disk, plant: Callable[[Path, Path], None]
) -> None:
    plant(bundle, tmp_path / "elsewhere")
    results = Results.of(done(bundle), disk)
    names = zipfile.ZipFile(io.BytesIO(whole(results))).namelist()
    assert sorted(names) == ["images/1-1.jpg", "scan.json", "scan.md"]
    with pytest.raises(MissingError):
        results.open("pdf")


@pytest.mark.parametrize("place", ["2026/scan", "2026"])
def test_a_link_in_the_place_of_a_folder_is_not_followed(
    tmp_path: Path, bundle: Path, disk: Disk, place: str
) -> None:
    """A member of the group moves a folder away and lays a link there."""
    (tmp_path / "elsewhere/scan").mkdir()
    (tmp_path / "elsewhere/scan/scan.md").write_text(SECRET)
    planted = tmp_path / "outbox" / place
    planted.rename(tmp_path / "away")
    planted.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MissingError):
        Results.of(done(bundle), disk).text("md")


def test_a_link_that_is_planted_after_a_look_is_not_followed(
    tmp_path: Path, bundle: Path, disk: Disk
) -> None:
    results = Results.of(done(bundle), disk)
    bundle.rename(tmp_path / "away")
    bundle.symlink_to(tmp_path / "elsewhere")
    for call in (lambda: results.open("md"), lambda: whole(results)):
        with pytest.raises(MissingError):
            call()


def test_links_among_files_that_lie_side_by_side_are_not_followed(
    tmp_path: Path, bundle: Path, disk: Disk
) -> None:
    flat = tmp_path / "outbox/flat.md"
    flat.write_text("flat")
    (tmp_path / "outbox/flat.pdf").symlink_to(tmp_path / "elsewhere/scan.pdf")
    (tmp_path / "outbox/flat.images").symlink_to(tmp_path / "elsewhere")
    results = Results.of(done(flat), disk)
    assert list(results.all) == ["flat.md"] and results.text("md") == "flat"


@pytest.mark.parametrize("place", ["elsewhere", "outbox/../elsewhere"])
def test_what_lies_outside_of_the_folders_trees_is_not_served(
    tmp_path: Path, bundle: Path, disk: Disk, place: str
) -> None:
    with pytest.raises(MissingError, match="outside"):
        Results.of(done(tmp_path / place), disk)


BLOCK: dict[str, Any] = {"label": "text", "text": "words", "boxes": [[0, 0, 1, 1]]}


def sidecar(**page: Any) -> str:
    return json.dumps({"pages": [{"number": 1, "blocks": [BLOCK], **page}]})


@pytest.mark.parametrize(
    "told",
    ["", "{", "[]", "null", "{}", "[" * 5000, '{"pages": null}', '{"pages": [1]}',
     '{"documents": [{}]}', sidecar(number="one"), sidecar(number=0), sidecar(blocks=5),
     sidecar(blocks=[{}]), sidecar(blocks=[BLOCK | {"boxes": [[0, 0]]}]), sidecar(size_in=[0, 1]),
     sidecar(confidence=float("nan")), sidecar(span=["a", 2]),
     sidecar(came_from={"file": "x.png"}), sidecar(came_from={"file": "x.png", "page": 0}),
     sidecar(came_from={"file": "x.png", "page": 2**31}), sidecar(number=2**31),
     sidecar(blocks=[BLOCK | {"boxes": [[0, 0, 1e308, 1]]}]), sidecar(size_in=[1e308, 1])],
)  # fmt: skip
def test_a_sidecar_that_is_not_as_ocrd_wrote_it_is_said_to_be_so(
    bundle: Path, disk: Disk, told: str
) -> None:
    (bundle / "scan.json").write_text(told)
    results = Results.of(done(bundle), disk)
    with pytest.raises(MissingError, match="not as ocrd wrote it"):
        results.pages()
    assert results.text("md") == TEXT  # what needs none of it is still there


@pytest.mark.parametrize("half", ["\ud800", "\udcff"])
def test_half_a_character_keeps_nobody_from_the_rest(bundle: Path, disk: Disk, half: str) -> None:
    block = BLOCK | dict.fromkeys(("label", "text", "image"), f"one {half} two")
    (bundle / "scan.json").write_text(sidecar(blocks=[block], partial=f"why{half}"))
    results = Results.of(done(bundle), disk)
    assert results.text("txt") == "one ? two"
    (page,) = results.pages()
    assert page.blocks is not None and page.partial == "why?"
    assert (page.blocks[0].label, page.blocks[0].image) == ("one ? two", "one ? two")


def test_a_pages_file_is_one_of_the_jobs_own(tmp_path: Path, bundle: Path) -> None:
    """Whoever may write in an outbox is shown no other folder's original."""
    inbox, private = tmp_path / "archive/web/joined", tmp_path / "archive/private"
    for folder in (inbox, private):
        folder.mkdir(parents=True)
        (folder / "page 1.png").write_bytes(b"a picture")
    (tmp_path / "config.toml").write_text(
        f'root = "{tmp_path}"\n[[folder]]\nname = "web"\n[[folder]]\nname = "private"\n'
    )
    config = load(tmp_path / "config.toml")
    store = Store(tmp_path / "web.db")
    desk = Desk(config, store, Changes(config.ledger, config.spool))
    own = tmp_path / "outbox/web/scan"
    own.parent.mkdir()
    bundle.rename(own)
    member = Member(source="page 1.png", size=1, mtime_ns=1, inode=1)
    job = replace(done(own), archived_to=str(inbox), members=(member,))

    def place(file: str) -> Path:
        (own / "scan.json").write_text(sidecar(came_from={"file": file, "page": 1}))
        return desk.original(job, 1)[0]

    assert place("page 1.png") == inbox / "page 1.png"
    for planted in (str(private / "page 1.png"), "../../private/page 1.png", "../x", "", "."):
        with pytest.raises(MissingError):
            place(planted)
    store.close()


# --- what interfaces make of it ---


def read(bundle: Path, disk: Disk, **asked: Any) -> dict[str, Any]:
    (page,) = mistral._pages(Results.of(done(bundle), disk), asked)
    return page


@pytest.mark.parametrize(
    ("asked", "images"),
    [({}, ["1-1.jpg", "1-2.jpg"]), ({"image_limit": 1}, ["1-1.jpg"]), ({"image_limit": 0}, []),
     ({"image_min_size": 100}, ["1-1.jpg"]), ({"image_limit": None}, ["1-1.jpg", "1-2.jpg"])],
)  # fmt: skip
def test_mistrals_limits_on_pictures_hold(
    bundle: Path, disk: Disk, asked: dict[str, Any], images: list[str]
) -> None:
    assert [each["id"] for each in read(bundle, disk, **asked)["images"]] == images


def test_mistrals_header_and_footer_come_apart_when_asked_for(bundle: Path, disk: Disk) -> None:
    plain = read(bundle, disk)
    assert "header" not in plain and "<sub>Acme</sub>" in plain["markdown"]
    told = read(bundle, disk, extract_header=True)
    assert told["header"] == "Acme" and "Acme" not in told["markdown"]
    assert "footer" not in told and "Page 1" in told["markdown"]
    both = read(bundle, disk, extract_header=True, extract_footer=True)
    assert (both["footer"], "<sub>" in both["markdown"]) == ("Page 1", False)


@pytest.mark.parametrize("wanted", ["markdown", "html"])
def test_mistrals_tables_come_apart_when_asked_for(bundle: Path, disk: Disk, wanted: str) -> None:
    told = read(bundle, disk, table_format=wanted, include_blocks=True)
    first, second = told["tables"]
    assert first["format"] == wanted and second["format"] == "html"
    assert ("<td>1</td>" in first["content"]) == (wanted == "html")
    assert 'colspan="2"' in second["content"]
    for table in told["tables"]:
        assert f"[{table['id']}]({table['id']})" in told["markdown"]
    assert "|" not in told["markdown"] and "<table" not in told["markdown"]
    named = [block["table_id"] for block in told["blocks"] if block["type"] == "table"]
    assert named == [first["id"], second["id"]]


@pytest.mark.parametrize(("known", "told"), [(0.87, {0.87}), (None, {None})])
def test_azure_is_told_what_the_sidecar_knows_of_confidence(
    bundle: Path, disk: Disk, known: float | None, told: set[float | None]
) -> None:
    sidecar = json.loads((bundle / "scan.json").read_text())
    sidecar["pages"][0]["confidence"] = known
    (bundle / "scan.json").write_text(json.dumps(sidecar))
    result = azure._result(Results.of(done(bundle), disk), "prebuilt-read", {})
    assert {word.get("confidence") for word in result["pages"][0]["words"]} == told
