"""What a test needs from the machine besides Python.

A test whose machine lacks something is skipped, with the reason.  With OCRD_TEST_ALL=1, which CI
sets, it fails instead, because there `.ci/system-packages` has installed everything.

    @needs("poppler")           a test that runs pdftotext itself
    need("mounts")              a helper or fixture, just before it mounts something

Long tests likewise run in full only in CI: elsewhere `few(positions)` is two of them, and
`examples(count)` a quarter.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

needs = pytest.mark.needs
slow = pytest.mark.slow
T = TypeVar("T")
FEW = 2
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True, kw_only=True)
class Thing:
    """Something that a machine may lack.

    Attributes:
        there: Whether the machine has it.
        lacking: The reason for a skip, and what to do about it.
    """

    there: Callable[[], bool]
    lacking: str


def need(*things: str) -> None:
    """Skip the running test, or fail it in CI, if the machine lacks one of the things."""
    for thing in things:
        if not has(thing):
            refuse = pytest.fail if everything() else pytest.skip
            refuse(THINGS[thing].lacking)


@functools.cache
def has(thing: str) -> bool:
    """Whether the machine has the thing; looked up once per test run."""
    return THINGS[thing].there()


def few(items: Sequence[T], most: int | None = None) -> list[T]:
    """Items evenly spread from the first to the last: two, or in CI `most` (default: all)."""
    count = min(len(items), (most or len(items)) if everything() else FEW)
    if count < 2:
        return list(items[:count])
    return [items[number * (len(items) - 1) // (count - 1)] for number in range(count)]


def examples(count: int) -> int:
    """The number of examples for Hypothesis: `count` in CI, a quarter of it elsewhere."""
    return count if everything() else count // 4


def everything() -> bool:
    """Whether tests run in full and skip nothing, as in CI."""
    return os.environ.get("OCRD_TEST_ALL") == "1"


def find_system_programs() -> None:
    """Append to PATH the folders of system programs (smbd, mkfs) that it lacks."""
    known = os.environ.get("PATH", os.defpath).split(":")
    os.environ["PATH"] = ":".join([*known, *(f for f in SYSTEM_FOLDERS if f not in known)])


def chromium() -> str:
    """Path of the browser, empty if there is none.

    The headless shell is preferred, because it takes a third of the CPU time.
    """
    return shutil.which("chromium-headless-shell") or shutil.which("chromium") or ""


def _programs(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name) for name in names)


def _package(package: str, *programs: str) -> Thing:
    return Thing(there=_programs(*programs), lacking=f"{programs[0]} is missing: install {package}")


def _root() -> bool:
    return os.geteuid() == 0


def _mounts() -> bool:
    return _root() and _can_mount("-t", "tmpfs", "tmpfs")


def _fuse() -> bool:
    if not (has("mounts") and Path("/dev/fuse").exists() and _programs("bindfs", "fusermount3")()):
        return False
    with tempfile.TemporaryDirectory() as point:
        if subprocess.run(["bindfs", point, point], capture_output=True, check=False).returncode:
            return False
        return not subprocess.run(["umount", "--lazy", point], check=False).returncode


def _disks() -> bool:
    """Whether a disk image can be formatted and mounted through a loop device."""
    if not (has("mounts") and _programs("mkfs.ext4", "losetup")()):
        return False
    with tempfile.NamedTemporaryFile() as image:
        image.truncate(4 << 20)
        subprocess.run(["mkfs.ext4", "-q", image.name], check=True)
        return _can_mount("-o", "loop", image.name)


def _can_mount(*what: str) -> bool:
    with tempfile.TemporaryDirectory() as point:
        if subprocess.run(["mount", *what, point], capture_output=True, check=False).returncode:
            return False
        return not subprocess.run(["umount", "--lazy", point], check=False).returncode


def _journal() -> bool:
    answers = _root() or Path("/run/systemd/journal/socket").exists()
    return answers and Path("/lib/systemd/systemd-journald").exists() and _programs("journalctl")()


def _confinement() -> bool:
    from ocrd.children import landlock

    return landlock.version() > 0


def _call_filter() -> bool:
    from ocrd.children import seccomp

    return seccomp.available()


def _watch_limits() -> bool:
    return _root() and os.access("/proc/sys/fs/inotify/max_user_watches", os.W_OK)


def _namespaces() -> bool:
    """Whether a user namespace can be created and its limits set."""
    script = "echo 9 > /proc/sys/user/max_inotify_watches"
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _fonts() -> bool:
    found = ("truetype/noto/NotoSans-Regular.ttf", "opentype/noto/NotoSansCJK-Regular.ttc")
    return all(Path("/usr/share/fonts", font).exists() for font in found)


def _models_of_tesseract() -> bool:
    from ocrd.engine.tesseract import packs
    from ocrd.languages import languages

    return packs.missing(languages("ru+uk+el+ko+ar+he+hi+th+vi+tr")) is None


def _box() -> bool:
    script = Path(__file__).parents[2] / ".ci" / "box"
    return subprocess.run([script, "lacks"], capture_output=True, check=False).returncode != 0


THINGS = {
    "root": Thing(there=_root, lacking="only root may do this: run the tests as root"),
    "mounts": Thing(there=_mounts, lacking="nothing can be mounted here: run the tests as root"),
    "fuse": Thing(
        there=_fuse, lacking="no FUSE mount here: root, bindfs, fuse3 and /dev/fuse make one"
    ),
    "disks": Thing(
        there=_disks, lacking="no image mounts as a disk here: root, e2fsprogs and a loop device do"
    ),
    "watch-limits": Thing(
        there=_watch_limits, lacking="the limits of inotify cannot be set here: run as root"
    ),
    "namespaces": Thing(
        there=_namespaces, lacking="no user namespace can be made here: its limits are not ours"
    ),
    "landlock": Thing(
        there=_confinement, lacking="this kernel has no Landlock: nothing closes files to a child"
    ),
    "seccomp": Thing(there=_call_filter, lacking="this kernel filters no system calls"),
    "journal": Thing(there=_journal, lacking="no journal here: root and systemd make one"),
    "samba": _package("samba and smbclient", "smbd", "smbclient", "smbpasswd"),
    "poppler": _package("poppler-utils", "pdftotext", "pdftoppm"),
    "tesseract": _package("tesseract-ocr", "tesseract"),
    "tesseract-languages": Thing(
        there=_models_of_tesseract,
        lacking="models of Tesseract are missing: run .ci/system-packages, which names them",
    ),
    "fonts": Thing(
        there=_fonts, lacking="fonts are missing: install fonts-noto-core and fonts-noto-cjk"
    ),
    "chromium": Thing(
        there=lambda: bool(chromium()), lacking="no browser here: install chromium-headless-shell"
    ),
    "rsync": _package("rsync", "rsync"),
    "systemd": _package("systemd", "systemd-analyze"),
    "procps": _package("procps", "pgrep"),
    "setpriv": _package("util-linux", "setpriv"),
    "man": _package("man-db", "man"),
    "acl": _package("acl", "setfacl"),
    "box": Thing(
        there=_box, lacking="no system can be booted here; `.ci/box lacks` says what is missing"
    ),
    "vllm-router": Thing(
        there=lambda: importlib.util.find_spec("vllm_router") is not None,
        lacking="vllm-router is missing: pip install vllm-router",
    ),
    "btrfs": _package("btrfs-progs", "mkfs.btrfs", "btrfs"),
    "exfat": _package("exfat-fuse and exfatprogs", "mount.exfat-fuse", "mkfs.exfat"),
}
