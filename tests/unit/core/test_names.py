from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrd.errors import BadFileError
from ocrd.files import display
from ocrd.names import fit, ignored, included, numbered, safe_relative, stem

# What a file system can hold: any bytes but NUL and slash, 1 to 255 of them.
file_names = st.binary(min_size=1, max_size=255).map(
    lambda raw: os.fsdecode(raw.replace(b"\0", b"n").replace(b"/", b"s"))
)
long_names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=400
)


@pytest.mark.parametrize(
    "name",
    [
        ".hidden.pdf",
        ".~lock.letter.odt#",
        "~$letter.docx",
        "letter.pdf~",
        "scan.tmp",
        "SCAN.TMP",
        "scan.pdf.part",
        "scan.pdf.filepart",
        "scan.pdf.crdownload",
        ".scan.pdf.swp",
        "scan.lck",
        "Thumbs.db",
        "THUMBS.DB",
        "desktop.ini",
        "Icon\r",
        "Icon\uf00d",
        "@eaDir",
        "#recycle",
        "$RECYCLE.BIN",
        "lost+found",
        "two\nlines.tmp",
    ],
)
def test_leftovers_of_other_programs_are_ignored(name: str) -> None:
    assert ignored(name)


@pytest.mark.parametrize(
    "name",
    ["scan.pdf", "scan.part.pdf", "tmp", "a~b.png", "$5.pdf", "desktop.ini.pdf", "Icon", "\udcff"],
)
def test_documents_are_not_ignored(name: str) -> None:
    assert not ignored(name)


def test_an_operators_globs_are_ignored_too_whatever_their_case() -> None:
    assert ignored("photo.XMP", ["*.xmp"])
    assert not ignored("photo.xmp.pdf", ["*.xmp"])


@pytest.mark.parametrize(
    ("path", "include", "ignore", "taken"),
    [
        ("sub/scan.pdf", [], [], True),
        # A name: for `include` the file's own, for `ignore` that of each folder above it, too.
        ("sub/Scan.PDF", ["*.pdf", "*.tif"], [], True),
        ("sub.pdf/scan.jpg", ["*.pdf"], [], False),
        ("drafts/scan.pdf", ["*.pdf"], ["drafts"], False),
        ("a/drafts/b/scan.pdf", [], ["drafts"], False),
        ("final/scan.pdf", ["*.pdf"], ["drafts"], True),
        # With a slash: the whole path.
        ("2026/may/scan.pdf", ["2026/*.pdf"], [], True),
        ("x/2026/scan.pdf", ["2026/*.pdf"], [], False),
        ("in/old/scan.pdf", [], ["in/old/*"], False),
    ],
)
def test_a_folders_patterns_say_what_is_taken(
    path: str, include: list[str], ignore: list[str], taken: bool
) -> None:
    assert included(path, include, ignore) == taken


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Rechnung März 請求書.pdf", "Rechnung März 請求書.pdf"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("fdp\u202egpj.exe", r"fdp\u202egpj.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("line\u2028end", r"line\u2028end"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("back\\slash", r"back\\slash"),
        ("\x85", r"\u0085"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_a_shown_name_is_one_harmless_line(name: str, shown: str) -> None:
    assert display(name) == shown


@given(file_names)
def test_what_is_shown_is_printable_and_tells_which_file_is_meant(name: str) -> None:
    # Undoing the escapes by their plain definition gives the bytes back.
    def undone(match: re.Match[str]) -> str:
        text = match[0]
        plain = {r"\n": "\n", r"\r": "\r", r"\t": "\t", r"\\": "\\"}
        if text in plain:
            return plain[text]
        code = int(text[2:], 16)
        return os.fsdecode(bytes([code])) if text[1] == "x" else chr(code)

    escapes = r"\\(?:n|r|t|\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
    assert display(name).isprintable()
    assert re.sub(escapes, undone, display(name)) == name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("scan.pdf", "scan"),
        ("scan", "scan"),
        ("scan.tar.gz", "scan.tar"),
        ("Invoice 3.5.2026.pdf", "Invoice 3.5.2026"),
        (".pdf", "pdf"),
        ("..pdf", "pdf"),
        ("...", "document"),
        ("..", "document"),
        ("", "document"),
        ("scan.", "scan"),
        (" .pdf", "document"),
        ("請求書.pdf", "請求書"),
        ("two\nlines.pdf", "two\nlines"),
    ],
)
def test_a_stem_is_the_name_without_its_last_extension(name: str, expected: str) -> None:
    assert stem(name) == expected


@given(file_names)
def test_a_stem_is_always_a_visible_name(name: str) -> None:
    found = stem(name)
    assert found
    assert not found.startswith(".")
    assert "/" not in found


@pytest.mark.parametrize("name", ["a/b.pdf", "../b.pdf", "nul\0.pdf"])
def test_a_stem_of_more_than_one_component_is_refused(name: str) -> None:
    with pytest.raises(BadFileError):
        stem(name)


@pytest.mark.parametrize(
    ("name", "number", "is_dir", "expected"),
    [
        ("scan.pdf", 1, False, "scan.pdf"),
        ("scan.pdf", 2, False, "scan (2).pdf"),
        ("scan v1.2", 3, True, "scan v1.2 (3)"),
        ("1. a letter to the tax office", 2, False, "1. a letter to the tax office (2)"),
        ("x" * 251 + ".pdf", 12, False, "x" * 246 + " (12).pdf"),
    ],
)
def test_a_number_goes_before_a_files_extension_and_to_the_end_of_a_folders_name(
    name: str, number: int, is_dir: bool, expected: str
) -> None:
    assert numbered(name, number, is_dir=is_dir) == expected


def test_a_long_name_is_cut_to_what_fits_and_keeps_its_extension_and_whole_characters() -> None:
    assert fit("x" * 255) == "x" * 255
    # 83 characters of three bytes and the extension are 253 bytes; 84 would make it 256.
    assert fit("請" * 100 + ".pdf") == "請" * 83 + ".pdf"
    assert fit("x" * 255, suffix_room=11) == "x" * 244


@given(long_names, st.integers(0, 40))
def test_a_fitted_name_and_its_suffix_are_at_most_255_bytes(name: str, room: int) -> None:
    found = fit(name, suffix_room=room)
    assert 0 < len(os.fsencode(found)) <= 255 - room
    assert os.fsdecode(os.fsencode(found)) == found


@given(file_names, st.integers(1, 10**6), st.booleans())
def test_a_numbered_name_is_at_most_255_bytes(name: str, n: int, is_dir: bool) -> None:
    assert 0 < len(os.fsencode(numbered(name, n, is_dir=is_dir))) <= 255


@given(file_names)
def test_numbered_names_differ_from_each_other(name: str) -> None:
    assert len({numbered(name, n) for n in range(1, 12)}) == 11


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../up.pdf", "a/../../b", "a//b", "a/./b", "a/", "nul\0", "."]
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(BadFileError) as caught:
        safe_relative(path)
    assert caught.value.hint


@pytest.mark.parametrize("path", ["a", "a/b.pdf", "..a/b..", "two\nlines", "\udcff/x"])
def test_paths_below_the_folder_are_taken(path: str) -> None:
    assert safe_relative(path) == path
