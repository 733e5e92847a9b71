"""What people and attackers drop: each ends in a stated way, and the good files are read."""

import hashlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymupdf
import pytest
from PIL import Image

from tests.integration.tree import Tree, ask
from tests.support.needs import has, needs
from tests.support.samples import scan_of

LONG = "n" * 251 + ".jpg"
NEWLINE = "two\nlines.jpg"
AES_256 = 5  # pymupdf.PDF_ENCRYPT_AES_256, which its stubs lack
BROKEN = os.fsdecode(b"caf\xe9.jpg")


def picture() -> bytes:
    return scan_of("A good scan", width=200, height=80, dpi=72).data


def pdf(**options: Any) -> bytes:
    document = pymupdf.open()
    document.new_page(width=200, height=80).insert_text((10, 40), "Hello")
    return bytes(document.tobytes(**options))


def bomb() -> bytes:
    """A small PNG of 169 megapixels."""
    data = io.BytesIO()
    Image.new("1", (13000, 13000), 1).save(data, "PNG", optimize=True)
    return data.getvalue()


def huge_page() -> bytes:
    document = pymupdf.open()
    document.new_page(width=14400, height=14400).insert_text((100, 7000), "Far", fontsize=900)
    return bytes(document.tobytes())


Jobs = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    tree = Tree(tmp_path_factory.mktemp("bad") / "srv")
    outside = tree.root.parent / "secret.jpg"
    outside.write_bytes(picture())
    for name, data in {
        "empty.pdf": b"",
        "half.pdf": pdf()[: len(pdf()) // 2],
        "text.pdf": b"Dear Sir or Madam, this is no PDF.\n" * 20,
        "locked.pdf": pdf(encryption=AES_256, user_pw="x", owner_pw="y"),
        "owner.pdf": pdf(encryption=AES_256, user_pw="", owner_pw="y"),
        "bomb.png": bomb(),
        "huge.pdf": huge_page(),
        "good.jpg": picture(),
        LONG: picture(),
        NEWLINE: picture(),
        BROKEN: picture(),
    }.items():
        tree.drop(name, data)
    os.mkfifo(tree.inbox / "fifo.pdf")
    if has("root"):
        os.mknod(tree.inbox / "device.pdf", 0o600 | 0o020000, os.makedev(1, 3))
    (tree.inbox / "link.jpg").symlink_to(outside)
    os.link(outside, tree.inbox / "hardlink.jpg")
    yield tree


@pytest.fixture(scope="module")
def jobs(tree: Tree) -> Jobs:
    code, said = tree.run()
    assert code == 5, said
    told = ask(tree, "jobs", "-n", "1000")
    return {job["source"]: job for job in told["jobs"]}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("empty.pdf", "empty"),
        ("text.pdf", "unsupported"),
        ("locked.pdf", "encrypted"),
        ("bomb.png", "too-large"),
        ("fifo.pdf", "not-regular"),
        pytest.param("device.pdf", "not-regular", marks=needs("root")),
        ("link.jpg", "not-regular"),
    ],
)
def test_it_fails_with_its_reason_and_a_remedy_and_lies_in_failed_if_it_is_a_file(
    tree: Tree, jobs: Jobs, name: str, kind: str
) -> None:
    job, failed = jobs[name], tree.root / "failed" / "scans" / name
    assert (job["state"], job["error"]["kind"]) == ("failed", kind)
    assert len(job["error"]["hint"]) > 10
    if kind == "not-regular":
        return
    assert jobs[name]["failed_to"] == str(failed)
    assert hashlib.sha256(failed.read_bytes()).hexdigest() == tree.dropped[name]
    reason = json.loads(failed.with_name(f"{name}.error.json").read_bytes())
    assert {key: reason[key] for key in ("kind", "message", "hint")} == jobs[name]["error"]
    assert not (tree.inbox / name).exists()


def test_half_a_pdf_is_read_as_far_as_it_goes_or_fails(jobs: Jobs) -> None:
    """MuPDF mends some; what it cannot mend is stated."""
    job = jobs["half.pdf"]
    assert job["state"] in ("done", "failed")
    assert (job["error"] is None) == (job["state"] == "done")


@pytest.mark.parametrize("name", ["owner.pdf", "huge.pdf", "good.jpg", "hardlink.jpg", LONG])
def test_it_is_read(jobs: Jobs, name: str) -> None:
    assert jobs[name]["state"] == "done"
    assert Path(jobs[name]["outputs"]).is_dir()


def test_names_with_newlines_or_broken_bytes_are_shown_escaped_and_read(
    tree: Tree, jobs: Jobs
) -> None:
    shown = [name for name in jobs if "two" in name or "caf" in name]
    assert len(shown) == 2
    assert all(name.isprintable() for name in shown)
    assert {jobs[name]["state"] for name in shown} == {"done"}
    assert (tree.root / "archive" / "scans" / NEWLINE).exists()
    assert (tree.root / "archive" / "scans" / BROKEN).exists()


def test_what_a_link_points_to_is_left_alone(tree: Tree, jobs: Jobs) -> None:
    assert (tree.root.parent / "secret.jpg").read_bytes() == picture()
    assert (tree.inbox / "link.jpg").is_symlink()


def test_the_next_run_does_not_fail_the_same_things_again(tree: Tree, jobs: Jobs) -> None:
    tree.work_off()
    told = ask(tree, "jobs", "-n", "1000")
    assert len(told["jobs"]) == len(jobs)
