"""Each writer leaves exactly what it says it left, in the way it says."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.faults.droppers import (
    ODD,
    WHOLE,
    Dropper,
    Ground,
    Item,
    killed_upload,
    through,
)
from tests.slow.faults.evidence import files_below
from tests.slow.faults.samba import Samba, samba
from tests.support.needs import need

ITEMS = [
    Item(source=f"scanner 1/scan-{number}.pdf", content=bytes([number]) * 20_000)
    for number in range(3)
]


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    inbox, staging = tmp_path / "inbox", tmp_path / "staging"
    inbox.mkdir()
    staging.mkdir()
    return Ground(folder="letters", inbox=inbox, staging=staging)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samba]:
    top = tmp_path_factory.mktemp("samba")
    (top / "share").mkdir()
    with samba(top / "share", top / "state") as running:
        yield running


def lying(ground: Ground) -> dict[str, str]:
    """What lies in the inbox: digests by path."""
    return {
        str(path.relative_to(ground.inbox)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files_below(ground.inbox)
    }


@pytest.mark.parametrize("dropper", WHOLE.values(), ids=WHOLE.keys())
def test_what_is_said_to_be_dropped_lies_there(ground: Ground, dropper: Dropper) -> None:
    dropped = dropper(ground, ITEMS)
    assert {each.source: each.sha256 for each in dropped} == lying(ground)
    assert sorted(each.sha256 for each in dropped) == sorted(
        hashlib.sha256(item.content).hexdigest() for item in ITEMS
    )
    assert [(each.folder, each.pages, each.replaceable) for each in dropped] == [
        ("letters", 1, False)
    ] * 3


@pytest.mark.parametrize("name", ["over and over", "rewritten"])
def test_of_what_is_replaced_the_last_lies_there(ground: Ground, name: str) -> None:
    dropped = ODD[name](ground, ITEMS)
    assert [each.replaceable for each in dropped] == [True, True, False]
    assert lying(ground) == {ITEMS[0].source: dropped[-1].sha256}


def test_a_killed_upload_leaves_half_a_file(ground: Ground) -> None:
    (dropped,) = killed_upload(ground, ITEMS[:1])
    assert (ground.inbox / dropped.source).stat().st_size == 10_000
    assert lying(ground) == {dropped.source: dropped.sha256}
    assert dropped.pages is None


def test_an_upload_goes_through_the_server(server: Samba, tmp_path: Path) -> None:
    ground = Ground(folder="letters", inbox=server.share, staging=tmp_path)
    items = [*ITEMS, Item(source="Büro/Ordner mit Lücken/扫描 1.pdf", content=b"x" * 300_000)]
    dropped = through(server)(ground, items)
    assert {each.source: each.sha256 for each in dropped} == lying(ground)
    assert "Ordner mit L" in server.run('cd "Büro"; ls')


def test_an_upload_that_the_server_refuses_is_told(server: Samba) -> None:
    with pytest.raises(RuntimeError, match="NT_STATUS_OBJECT_PATH_NOT_FOUND"):
        server.run(f'put "{__file__}" "no such folder\\scan.pdf"')


def test_nothing_of_the_server_is_left_running(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir()
    with samba(tmp_path / "share", tmp_path / "state") as running:
        running.run("ls")
        assert _processes(running.config)
    assert _processes(running.config) == []


def _processes(config: Path) -> list[str]:
    need("procps")
    found = subprocess.run(["pgrep", "-f", f"smbd.*{config}"], capture_output=True, text=True)
    return found.stdout.split()
