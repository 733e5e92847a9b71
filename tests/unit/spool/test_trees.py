"""A tree that is not itself is not written to: its mount is away, or another is in its place."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from ocrd.daemon import rights
from ocrd.errors import Disposition, PlaceError
from ocrd.files import Disk, write_durably
from ocrd.inbox.root import _keep, _recall
from ocrd.spool import Spool
from ocrd.spool.trees import MARKER, Trees
from tests.support.nobody import NOBODY, as_nobody
from tests.support.waiting import HANG_S
from tests.unit.spool.mounts import mounted, needs_root, served, tmpfs
from tests.unit.spool.steps import Call, Hooked
from tests.unit.spool.world import ORIGINAL, STEPS, World, left

ID = "5e" * 16
OTHER = "77" * 16


@dataclass
class Memory:
    """What the ledger keeps of the trees, over several starts."""

    known: dict[str, str] = field(default_factory=dict)
    adopted: list[Path] = field(default_factory=list)

    def start(self, installation: str = ID) -> Trees:
        return Trees(
            installation, self.known, Disk(), self.known.__setitem__, adopted=self.adopted.append
        )


@pytest.fixture
def memory() -> Memory:
    return Memory()


def lost(act: Callable[[], object]) -> PlaceError:
    with pytest.raises(PlaceError) as caught:
        act()
    assert (caught.value.kind, caught.value.disposition) == ("tree-lost", Disposition.CONDITION)
    return caught.value


def bears(tree: Path) -> str:
    """The installation that the marker names; a number of the tree's own follows."""
    return (tree / MARKER).read_text().partition(":")[0]


def use(trees: Trees, place: Path) -> None:
    with trees.holding(place):
        pass


def test_a_new_tree_is_made_and_marked_and_known_at_the_next_start(
    memory: Memory, tmp_path: Path
) -> None:
    tree = tmp_path / "archive" / "hr"
    memory.start().check(tree)
    assert bears(tree) == ID
    memory.start().check(tree)
    assert memory.adopted == []


@pytest.mark.parametrize("made_anew", [True, False])
def test_a_folder_that_a_person_removed_or_made_anew_is_adopted(
    memory: Memory, tmp_path: Path, *, made_anew: bool
) -> None:
    tree, trees = tmp_path / "archive", memory.start()
    trees.check(tree)
    tree.rename(tmp_path / "old")
    if made_anew:
        tree.mkdir()
    use(memory.start() if made_anew else trees, tree / "scan.pdf")
    assert (bears(tree), memory.adopted) == (ID, [tree])


@pytest.mark.parametrize(
    "plant",
    [
        Path.mkdir,
        lambda marker: marker.symlink_to(__file__),
        lambda marker: marker.symlink_to("nowhere"),
        os.mkfifo,
    ],
    ids=["folder", "link", "dangling link", "pipe"],
)
def test_what_a_member_plants_in_the_place_of_a_marker_stops_nothing(
    memory: Memory, tmp_path: Path, plant: Callable[[Path], None]
) -> None:
    tree = tmp_path / "outbox"
    trees = memory.start()
    trees.check(tree)
    (tree / MARKER).unlink()
    plant(tree / MARKER)
    use(trees, tree / "scan")
    use(memory.start(), tree / "scan")
    assert (tree / MARKER).is_dir() or bears(tree) == ID


def test_another_installations_tree_is_refused_until_a_person_says_so(
    memory: Memory, tmp_path: Path
) -> None:
    tree = tmp_path / "archive"
    memory.start().check(tree)
    (tree / MARKER).write_text(OTHER)
    error = lost(lambda: memory.start().check(tree))
    assert error.path == tree
    commands = error.hint.partition("`")[2]
    for command in commands.split("`")[::2]:
        if command.startswith(("mkdir", ":")):
            subprocess.run(command, shell=True, check=True)
    memory.start().check(tree)
    assert bears(tree) == ID


def test_a_new_ledger_takes_over_the_id_of_the_spool_that_it_finds(
    memory: Memory, tmp_path: Path
) -> None:
    trees = [tmp_path / ".ocrd", tmp_path / "archive"]
    first = memory.start()
    for tree in trees:
        first.check(tree)
    anew = Memory()
    for _start in range(2):
        started = anew.start(OTHER)
        for tree in trees:
            started.check(tree)
    assert [bears(tree) for tree in trees] == [ID, ID]


def ids_taken_over(root: Path, *beside: str, ours: str = OTHER) -> set[str]:
    """What the spool of a new ledger bears beside these trees, in a ledger that knows nothing."""
    anew = Memory()
    trees = Trees(
        ours, anew.known, Disk(), anew.known.__setitem__, beside=[root / each for each in beside]
    )
    trees.check(root / ".ocrd")
    return {bears(root / ".ocrd")}


def test_a_new_spool_takes_the_id_that_all_trees_beside_it_bear(
    memory: Memory, tmp_path: Path
) -> None:
    root = tmp_path / "srv"
    first = memory.start()
    for tree in ("inbox/scans", "archive/scans"):
        first.check(root / tree)
    (root / "outbox" / "scans").mkdir(parents=True)
    beside = ("inbox/scans", "outbox/scans", "archive/scans", "failed/scans")
    assert ids_taken_over(root, *beside) == {ID}
    shutil.rmtree(root / ".ocrd")
    (root / "archive" / "scans" / MARKER).write_text(f"{'3c' * 16}:1")
    assert ids_taken_over(root, *beside) == {OTHER}  # nobody knows whose they are


@pytest.mark.parametrize("through", ["mount", "link", "link above"])
def test_a_new_spool_takes_no_id_of_a_tree_that_lies_elsewhere(
    memory: Memory, tmp_path: Path, through: str
) -> None:
    """A share may be the inbox of another machine's daemon, which is at work in it."""
    root, theirs = tmp_path / "srv", tmp_path / "theirs" / "scans"
    memory.start().check(theirs)
    (root / "inbox").mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        match through:
            case "mount":
                stack.enter_context(mounted("--bind", str(theirs), at=root / "inbox" / "scans"))
            case "link":
                (root / "inbox" / "scans").symlink_to(theirs)
            case "link above":
                (root / "inbox").rmdir()
                (root / "inbox").symlink_to(theirs.parent)
        assert ids_taken_over(root, "inbox/scans") == {OTHER}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "hangs"])
def test_a_new_spool_does_not_wait_for_a_share_beside_it(tmp_path: Path, how: int) -> None:
    root = tmp_path / "srv"
    with served(tmp_path / "source", root / "inbox" / "scans") as server:
        server.send_signal(how)
        taken = threading.Thread(target=ids_taken_over, args=[root, "inbox/scans"], daemon=True)
        taken.start()
        taken.join(HANG_S)
        server.send_signal(signal.SIGCONT)
        assert not taken.is_alive()
    assert bears(root / ".ocrd") == OTHER


def test_a_tree_that_goes_away_while_a_thread_holds_it_is_not_adopted(
    memory: Memory, tmp_path: Path
) -> None:
    """As a share that is unmounted in the middle of a step: what lies there then is a bare folder.

    The share is a file system of its own behind a link.
    """
    tree, trees = tmp_path / "outbox", memory.start()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as share:
        tree.symlink_to(share)
        trees.check(tree)
        with trees.holding(tree):
            tree.unlink()
            tree.mkdir()
            use(trees, tree / "scan")
            trees.check(tree)
        lost(lambda: use(trees, tree / "scan"))
    assert list(tree.iterdir()) == []


@pytest.mark.parametrize("bare", [True, False])
def test_a_spool_that_goes_away_during_a_step_leaves_nothing_where_it_was(
    tmp_path: Path, bare: bool
) -> None:
    home, outbox = tmp_path / ".ocrd", tmp_path / "outbox"
    outbox.mkdir()
    disk = Disk()
    known: dict[str, str] = {}
    spool = Spool(tmp_path, trees=Trees(ID, known, disk, known.__setitem__), disk=disk)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as share:
        home.symlink_to(share)
        spool.prepare()
        disk.know(outbox)
        with spool.at_work():
            shutil.rmtree(Path(share, "jobs"))
            home.unlink()
            if bare:
                home.mkdir()
            with spool.at_work(outbox):
                assert Path(share, "jobs").is_dir()
        if bare:
            with pytest.raises(PlaceError), spool.at_work():
                pass
            assert list(home.iterdir()) == []
        else:
            assert not home.exists()


def test_a_link_that_leads_nowhere_is_not_the_tree(memory: Memory, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    tree = tmp_path / "archive"
    tree.symlink_to("disk")
    memory.start().check(tree)
    (tmp_path / "disk").rename(tmp_path / "away")
    lost(lambda: use(memory.start(), tree / "scan.pdf"))
    (tmp_path / "away").rename(tmp_path / "disk")
    use(memory.start(), tree / "scan.pdf")


def test_a_tree_that_cannot_be_marked_is_known_by_its_place(memory: Memory, tmp_path: Path) -> None:
    class ReadOnly(Disk):
        def write(self, path: Path, content: bytes, mode: int = 0o666) -> None:
            raise OSError(30, os.strerror(30), str(path))

    for _start in range(2):
        trees = Trees(ID, memory.known, ReadOnly(), memory.known.__setitem__)
        trees.check(tmp_path)
        use(trees, tmp_path / "scan.pdf")
    assert not (tmp_path / MARKER).exists()


def of_the_same_file_system(at: Path) -> AbstractContextManager[Path]:
    """A folder of the disk that holds the mount point as well: its f_fsid tells nothing."""
    source = at.with_name("source")
    source.mkdir(exist_ok=True)
    return mounted("--bind", str(source), at=at)


MOUNTS = {"another file system": tmpfs, "the same file system": of_the_same_file_system}


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "unmarked"])
@pytest.mark.parametrize("mount", MOUNTS.values(), ids=MOUNTS.keys())
def test_a_mount_that_is_away_is_noticed_and_comes_back(
    memory: Memory,
    tmp_path: Path,
    mount: Callable[[Path], AbstractContextManager[Path]],
    *,
    marked: bool,
) -> None:
    tree = tmp_path / "archive"
    with mount(tree):
        memory.start().check(tree)
        if not marked:
            (tree / MARKER).unlink()
    assert "Mount it" in lost(lambda: use(memory.start(), tree / "a.pdf")).hint
    lost(lambda: memory.start().check(tree))
    assert os.listdir(tree) == []


def test_a_new_folder_below_a_root_that_is_away_is_not_made(memory: Memory, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with tmpfs(root):
        memory.start().check(root / ".ocrd")
        memory.start().check(root)
    lost(lambda: memory.start().check(root / ".ocrd"))
    lost(lambda: memory.start().check(root / "archive" / "new"))
    assert os.listdir(root) == []


# --- the spool's steps ---


@needs_root
@pytest.mark.parametrize("name", STEPS)
def test_nothing_leaves_the_spool_for_a_place_whose_mount_is_away(
    world: World, name: str, tmp_path: Path, memory: Memory
) -> None:
    tree, source = world.tree(name), tmp_path / "source"
    source.mkdir()
    mount = ["mount", "--bind", str(source), str(tree)]
    disk = Disk()
    trees = Trees(ID, memory.known, disk, memory.known.__setitem__)
    for marker in tmp_path.glob(f"*/{MARKER}"):
        marker.unlink()
    subprocess.run(mount, check=True)
    for each in (".ocrd", *STEPS):
        trees.check(tmp_path / each)
    spool = Spool(tmp_path, trees=trees, disk=disk)
    job = world.bundled("scan.pdf")
    target = tree / "letters" / "scan"
    subprocess.run(["umount", "--lazy", str(tree)], check=True)
    lost(lambda: STEPS[name](spool, job, target))
    lost(lambda: spool.free_name(tree, "scan.pdf"))
    assert os.listdir(tree) == []
    subprocess.run(mount, check=True)
    try:
        STEPS[name](spool, job, target)
        seen = {name: what for name, what in world.visible().items() if "source" not in name}
        assert seen == left(name)
    finally:
        subprocess.run(["umount", "--lazy", str(tree)], check=True)


def test_deleted_folders_of_jobs_are_made_anew_and_the_next_file_goes_on(
    world: World, tmp_path: Path
) -> None:
    spool = world.spool()
    (tmp_path / ".ocrd" / "jobs").rmdir()
    job = world.drop("scan.pdf")
    assert spool.claim(job, world.tree("inbox") / "scan.pdf").read_bytes() == ORIGINAL
    assert (tmp_path / ".ocrd" / "jobs").stat().st_mode & 0o777 == 0o700


@needs_root
@pytest.mark.parametrize("when", ["stat", "rename_exclusive"])
def test_a_mount_that_goes_in_the_middle_of_a_step_gets_it_whole(tmp_path: Path, when: str) -> None:
    """A step works beneath what the tree was when it began, not beneath the mount point."""
    world = World(tmp_path)
    outbox, source = tmp_path / "outbox", tmp_path / "elsewhere"
    source.mkdir()
    outbox.mkdir()
    subprocess.run(["mount", "--bind", str(source), str(outbox)], check=True)
    world.make()
    job = world.bundled()

    gone: list[Call] = []

    def unmount(call: Call) -> None:
        place = str(call.arguments[-1])
        if call.name == when and place.startswith(f"{outbox}/letters") and not gone:
            gone.append(call)
            subprocess.run(["umount", "--lazy", str(outbox)], check=True)

    world.spool(Hooked(unmount)).publish(job, outbox / "letters" / "scan")
    assert os.listdir(outbox) == []
    assert (source / "letters" / "scan" / "scan.md").exists()


def test_a_folder_marked_before_something_was_mounted_over_it_is_not_the_tree_afterwards(
    memory: Memory, tmp_path: Path
) -> None:
    tree = tmp_path / "archive"
    memory.start().check(tree)
    with tmpfs(tree):
        lost(lambda: memory.start().check(tree))
        (tree / MARKER).touch()  # as the hint says: this is the tree from now on
        memory.start().check(tree)
    error = lost(lambda: use(memory.start(), tree / "scan.pdf"))
    assert error.path == tree


def test_two_who_come_at_once_mark_a_new_tree_once(memory: Memory, tmp_path: Path) -> None:
    def come(trees: Trees, tree: Path, begun: threading.Barrier) -> None:
        begun.wait()
        trees.check(tree)

    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            tree = tmp_path / f"outbox {number}"
            guest = partial(come, memory.start(), tree, threading.Barrier(4))
            for each in [pool.submit(guest) for _ in range(4)]:
                each.result()
            memory.start().check(tree)


def test_within_a_step_a_tree_of_results_is_looked_at_for_each_call(
    memory: Memory, tmp_path: Path
) -> None:
    trees = memory.start()
    spool, outbox = tmp_path / "spool", tmp_path / "outbox"
    for tree in (spool, outbox):
        trees.check(tree)
    ours = (outbox / MARKER).read_text()
    with trees.holding(spool):
        for marker in (ours, f"{OTHER}:1", ours):
            (outbox / MARKER).write_text(marker)
            if marker == ours:
                with trees.holding(outbox / "scan") as looked:
                    assert looked
            else:
                lost(lambda: use(trees, outbox / "scan"))


@pytest.fixture
def group_writes() -> Iterator[None]:
    """As under the unit's `UMask=0007`, and where a person set 002."""
    before = os.umask(0o002)
    yield
    os.umask(before)


def _changeable(spool: Path) -> list[str]:
    """What a member of the group could change in the daemon's own folder."""
    found = [spool, *spool.rglob("*")]
    return [each.name for each in found if each.stat().st_mode & 0o022]


@pytest.mark.usefixtures("group_writes")
def test_nobody_of_the_group_changes_what_the_daemon_keeps_in_its_spool(
    memory: Memory, tmp_path: Path
) -> None:
    """A marker that a member had overwritten kept the next start from coming up."""
    spool = tmp_path / ".ocrd"
    Spool(tmp_path, trees=memory.start()).prepare()
    _keep(None, False, spool / "inboxes" / "scans.json")
    rights.ask(spool)
    write_durably(spool / "paused.json", b"{}", Disk())
    assert {MARKER, "inboxes", "scans.json", "closed", "paused.json"} <= {
        each.name for each in spool.rglob("*")
    }
    assert _changeable(spool) == []


@pytest.mark.usefixtures("group_writes")
def test_what_older_versions_left_open_in_the_spool_is_closed_at_the_start(
    memory: Memory, tmp_path: Path
) -> None:
    spool = tmp_path / ".ocrd"
    Spool(tmp_path, trees=memory.start()).prepare()
    (spool / "inboxes").mkdir()
    (spool / "inboxes" / "scans.json").touch()
    outside = tmp_path / "outside"
    outside.touch()
    outside.chmod(0o666)
    (spool / "inboxes" / "post.json").symlink_to(outside)
    os.mkfifo(spool / "inboxes" / "mail.json", 0o600)
    (spool / "requests").mkdir()
    (spool / "requests").chmod(0o3770)
    Spool(tmp_path, trees=memory.start()).prepare()
    assert _changeable(spool / "inboxes") == ["post.json"]  # which is outside, and left alone
    assert stat.S_IMODE(outside.stat().st_mode) == 0o666
    assert stat.S_IMODE((spool / "requests").stat().st_mode) == 0o3770


@needs_root
def test_what_a_member_left_in_the_spool_keeps_no_start_from_coming_up() -> None:
    with tempfile.TemporaryDirectory() as top:
        os.chown(top, NOBODY, NOBODY)
        kept = Path(top, ".ocrd", "inboxes")
        kept.mkdir(parents=True)
        (kept / "scans.json").touch()
        (kept / "scans.json").chmod(0o666)
        for each in (kept.parent, kept):
            os.chown(each, NOBODY, NOBODY)
        assert as_nobody(lambda: Spool(Path(top)).prepare()) is None
        assert (kept.parent / "jobs").is_dir()


def test_a_pipe_where_an_inbox_was_remembered_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scans.json")
    assert _recall(tmp_path / "scans.json") == (None, False)
