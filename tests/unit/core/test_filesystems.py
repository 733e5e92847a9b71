"""Which filesystem a path lies on, by the kernel's own list."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrd.mounts import Mount, filesystem_of, parse

# In the form of proc(5): optional fields before the dash differ in number; \040 is a blank.
MOUNTS = rb"""22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
23 22 0:22 / /proc rw,nosuid shared:14 - proc proc rw
90 22 0:49 / /srv rw,relatime shared:50 - xfs /dev/sdb1 rw
91 90 0:50 / /srv/ocrd\040scans rw,relatime - cifs //server/scans rw,vers=3.1.1
92 90 0:51 / /srv/ocrd rw,relatime shared:51 master:3 - nfs4 server:/ocrd rw
93 92 0:52 / /srv/ocrd rw,relatime - tmpfs tmpfs rw
"""


@pytest.fixture
def table() -> list[Mount]:
    return parse(MOUNTS)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/lib/ocrd/ledger.db", "ext4"),
        ("/srv/other/ledger.db", "xfs"),
        ("/srv/ocrd scans/ledger.db", "cifs"),
        ("/srv/ocrd/.ocrd/ledger.db", "tmpfs"),
        ("/srv/ocrd-too/ledger.db", "xfs"),
        ("/srv", "xfs"),
    ],
)
def test_the_deepest_and_latest_mount_counts(table: list[Mount], path: str, expected: str) -> None:
    assert filesystem_of(Path(path), table) == expected


def test_the_running_kernel_is_asked_by_default() -> None:
    assert filesystem_of(Path("/proc/self")) == "proc"


def test_where_the_kernel_tells_nothing_nothing_is_known(tmp_path: Path) -> None:
    assert filesystem_of(tmp_path, []) == ""
