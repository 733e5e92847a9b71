"""The unit's sandbox lets the daemon do what folders ask for."""

from __future__ import annotations

import subprocess

from tests.support.needs import needs
from tests.unit.cli.conftest import PROJECT

UNIT = (PROJECT / "systemd" / "ocrd.service").read_text().splitlines()
NEEDED = {
    "a group for results": ("lchown", "fchownat"),
    "modes": ("chmod", "fchmod", "fchmodat"),
    "names that overwrite nothing": ("renameat2", "link", "linkat"),
}


def values(key: str) -> list[str]:
    return [line.partition("=")[2] for line in UNIT if line.startswith(f"{key}=")]


def calls(words: list[str]) -> set[str]:
    """System calls by name, groups of them (`@chown`) resolved by systemd itself."""
    found = {word for word in words if not word.startswith("@")}
    for group in (word for word in words if word.startswith("@")):
        told = subprocess.run(
            ["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True
        )
        inner = [line.strip() for line in told.stdout.splitlines()[1:]]
        found |= calls([line for line in inner if line and not line.startswith("#")])
    return found


@needs("systemd")
def test_the_filter_lets_through_what_is_needed() -> None:
    allowed: set[str] = set()
    for value in values("SystemCallFilter"):
        if value.startswith("~"):
            allowed -= calls(value[1:].split())
        else:
            allowed |= calls(value.split())
    assert [what for what, needed in NEEDED.items() if not set(needed) <= allowed] == []


def test_folders_may_have_the_set_group_id_bit() -> None:
    """RestrictSUIDSGID= refuses it on folders, too (systemd.exec(5))."""
    assert values("RestrictSUIDSGID") in ([], ["no"])
