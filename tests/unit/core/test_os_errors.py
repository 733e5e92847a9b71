"""What the system answers becomes an error that says what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ocrd.errors import Disposition, OcrdError, PageError, PlaceError, SourceChangedError
from ocrd.imaging import faults
from ocrd.oserrors import blaming, os_error
from tests.support.nobody import as_nobody
from tests.unit.inbox.support import public_folder

PLACE = Path("/srv/ocrd/outbox/letters")


@pytest.mark.parametrize(
    ("code", "kind", "disposition"),
    [
        (errno.ENOSPC, "disk-full", Disposition.CONDITION),
        (errno.EDQUOT, "disk-full", Disposition.CONDITION),
        (errno.EROFS, "read-only", Disposition.CONDITION),
        (errno.EACCES, "no-permission", Disposition.CONDITION),
        (errno.EPERM, "no-permission", Disposition.CONDITION),
        (errno.ESTALE, "share-gone", Disposition.CONDITION),
        (errno.ENOTCONN, "share-gone", Disposition.CONDITION),
        (errno.EHOSTDOWN, "share-gone", Disposition.CONDITION),
        (errno.ETIMEDOUT, "share-gone", Disposition.CONDITION),
        (errno.EIO, "io-error", Disposition.CONDITION),
        (errno.ENOTDIR, "blocked", Disposition.CONDITION),
        (errno.EBUSY, "busy", Disposition.TRANSIENT),
        (errno.ETXTBSY, "busy", Disposition.TRANSIENT),
        (errno.EMFILE, "descriptors", Disposition.CONDITION),
        (errno.ENFILE, "descriptors", Disposition.CONDITION),
        (errno.ECONNREFUSED, "share-gone", Disposition.CONDITION),
        (errno.EPROTO, "share-gone", Disposition.CONDITION),
        (errno.ENOLCK, "share-gone", Disposition.CONDITION),
        (errno.EBADMSG, "io-error", Disposition.CONDITION),
        (errno.ENOMEDIUM, "io-error", Disposition.CONDITION),
        (errno.ENOKEY, "locked", Disposition.CONDITION),
        (errno.EKEYEXPIRED, "locked", Disposition.CONDITION),
        (errno.EFBIG, "file-size", Disposition.CONDITION),
        (errno.EMLINK, "folder-full", Disposition.CONDITION),
        (errno.ENOENT, "source-changed", Disposition.TRANSIENT),
        (errno.ELOOP, "source-changed", Disposition.TRANSIENT),
        (errno.ENAMETOOLONG, "name-too-long", Disposition.PERMANENT),
        (errno.EDOM, "os-error", Disposition.TRANSIENT),
    ],
)
def test_each_answer_has_its_kind_and_its_consequence(
    code: int, kind: str, disposition: Disposition
) -> None:
    error = os_error(OSError(code, os.strerror(code)), PLACE)
    assert (error.kind, error.disposition) == (kind, disposition)
    assert isinstance(error, PlaceError) == (disposition is Disposition.CONDITION)
    assert error.message.startswith(f"{PLACE}: ")
    assert error.message.endswith(f"({errno.errorcode[code]})")
    assert error.hint


def test_a_place_that_nobody_may_look_at_has_a_remedy_too() -> None:
    with public_folder() as folder:
        (folder / "closed").mkdir(mode=0o700)
        place = folder / "closed" / "inbox"
        told = as_nobody(lambda: os_error(OSError(errno.EACCES, "denied", str(place)), place))
    assert isinstance(told, OcrdError)
    assert (told.kind, "setfacl" in told.hint) == ("no-permission", True)


def test_the_place_is_the_one_the_system_named_as_one_harmless_line() -> None:
    error = os_error(OSError(errno.ENOSPC, "full", "/a/source", None, "/b/target"), PLACE)
    assert error.message.startswith("/b/target: no space is left")
    error = os_error(OSError(errno.ENOSPC, "full", "/a/source"), PLACE)
    assert error.message.startswith("/a/source: no space is left")
    error = os_error(OSError(errno.ENOSPC, "full", 7), PLACE)
    assert error.message.startswith(f"{PLACE}: no space is left")
    error = os_error(OSError(errno.ENOSPC, "full", os.fsdecode(b"a\nb\x1b[2J\xff.pdf")), PLACE)
    assert error.message.startswith(r"a\nb\x1b[2J\xff.pdf: no space is left")


@pytest.mark.parametrize(
    "error", [FileExistsError(errno.EEXIST, "taken"), SourceChangedError("changed", hint="wait")]
)
def test_a_taken_name_and_errors_of_ours_pass_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, blaming(PLACE):
        raise error
    assert caught.value is error


def test_of_a_refused_move_the_file_that_may_not_be_taken_is_named_with_what_helps(
    tmp_path: Path,
) -> None:
    """It is immutable (chattr +i): no right helps, neither on it nor on where it was to go."""
    (tmp_path / "scan.pdf").touch()
    names = str(tmp_path / "scan.pdf"), None, str(tmp_path / "spool" / "scan.pdf")
    error = os_error(OSError(errno.EPERM, "refused", *names), PLACE)
    assert error.message.startswith(f"{tmp_path}/scan.pdf: permission denied (owned by ")
    assert f"sudo chattr -i -a {tmp_path}/scan.pdf {tmp_path}" in error.hint


def test_a_file_that_a_sticky_folder_leaves_to_its_owner_is_named_with_what_helps() -> None:
    def move(folder: Path) -> OcrdError:
        try:
            os.rename(folder / "sticky" / "scan.pdf", folder / "open" / "scan.pdf")
        except OSError as error:
            return os_error(error, PLACE)
        raise AssertionError("it could be moved")

    with public_folder() as folder:
        for name, mode in (("sticky", 0o1777), ("open", 0o777)):
            (folder / name).mkdir()
            (folder / name).chmod(mode)
        (folder / "sticky" / "scan.pdf").touch()
        told = as_nobody(lambda: move(folder))
    assert isinstance(told, OcrdError)
    assert told.message.startswith(
        f"{folder}/sticky/scan.pdf: permission denied (owned by root:root"
    )
    assert f"sudo chmod -t {folder}/sticky" in told.hint


@pytest.mark.parametrize(
    ("code", "place"),
    [
        (errno.EIO, True),
        (errno.ESTALE, True),
        (errno.ETIMEDOUT, True),
        (errno.EHOSTDOWN, True),
        (errno.EACCES, True),
        (errno.EINVAL, False),  # a decoder seeks where nothing is
        (None, False),  # a decoder's own words
    ],
)
def test_a_share_that_fails_while_an_image_is_read_is_not_the_image_s_fault(
    code: int | None, place: bool
) -> None:
    refused = OSError(code, "said") if code else OSError("image file is truncated")
    with pytest.raises(PlaceError if place else PageError), faults("The image"):
        raise refused
