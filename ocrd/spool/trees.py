"""Whether a tree is itself, so that nothing is written to the folder beneath a missing mount.

Every tree has a marker with the installation's id and a number of its own: the folder beneath a
mount point may have an older number, from before the mount.  Where there is no marker, the tree's
place decides: its file system, and its path in it.  A tree whose marker cannot be written (on a
read-only file system) does without.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from ocrd.errors import PlaceError
from ocrd.files import Disk, display, write_durably
from ocrd.mounts import mount_at, mount_of, mounts, place_on
from ocrd.oserrors import blaming
from ocrd.spool.tree import make_folders

MARKER = ".ocrd-tree"
NUMBER = "/#"  # appended to a tree's path: the key, in `known`, of the number in its marker
INSTALLATION = "installation"
"""The key, among the known trees, of an id that a new ledger took over from trees it found."""


class Trees:
    """The trees of an installation: inboxes, outboxes, archives, failed/ and the spool.

    Args:
        installation: The installation's id, as the ledger keeps it.
        known: Everything that `remember` was given so far: by path, where each tree was last seen.
        disk: The system calls.
        remember: Called with a key and value to keep in the ledger: a tree's path and its place.
        adopted: Called with a tree that a person has replaced by a new one.
        beside: The configured trees.
    """

    def __init__(
        self,
        installation: str,
        known: Mapping[str, str],
        disk: Disk,
        remember: Callable[[str, str], object],
        *,
        adopted: Callable[[Path], object] = lambda _tree: None,
        beside: Iterable[Path] = (),
    ) -> None:
        self._known = dict(known)
        self._id = self._known.get(INSTALLATION, installation)
        self._disk = disk
        self._remember = remember
        self._adopted = adopted
        self._beside = list(beside)
        self._turns: dict[Path, threading.Lock] = {}
        self._fresh: set[Path] = set()
        self._within = threading.local()  # the trees that this thread holds
        for tree in known.keys() - {INSTALLATION}:
            if not tree.endswith(("/..", NUMBER)):
                disk.know(Path(tree))

    def check(self, tree: Path) -> None:
        """Make sure that a tree is itself; a new one is made and marked.  From now on it is known.

        Check the spool first: a new ledger takes over the id in its marker, or in those of the
        trees beside it.

        Raises:
            PlaceError: The tree is not itself (kind `tree-lost`), or cannot be read now.
        """
        self._disk.know(tree)
        with self.holding(tree) as looked:
            if looked:  # a tree that this thread already held may have been replaced since
                self._keep(tree)

    @contextlib.contextmanager
    def holding(self, *paths: Path) -> Iterator[bool]:
        """Check that the trees of these paths are themselves, and keep them open for this thread.

        A path in no known tree is ignored, and so is a tree that this thread already holds.

        Yields:
            Whether any tree was checked.

        Raises:
            PlaceError: A tree is not itself (kind `tree-lost`), or cannot be read now.
        """
        held: set[Path] = vars(self._within).setdefault("trees", set())
        trees = [tree for tree in dict.fromkeys(map(self._disk.tree_of, paths)) if tree]
        new = [tree for tree in trees if tree not in held]
        if not new:
            yield False
            return
        with contextlib.ExitStack() as stack:
            for tree in new:
                with blaming(tree):
                    self._hold(tree, stack)
                held.add(tree)
                stack.callback(held.discard, tree)
            yield True

    def _hold(self, tree: Path, stack: contextlib.ExitStack) -> None:
        with contextlib.suppress(FileNotFoundError):
            stack.enter_context(self._disk.hold(tree))
            if self._bears_ours(tree, self._marker(tree)):
                return
        with self._turns.setdefault(tree, threading.Lock()):  # only one thread makes and marks it
            try:
                stack.enter_context(self._disk.hold(tree))
            except FileNotFoundError:
                self._make(tree)
                stack.enter_context(self._disk.hold(tree))
            marker = self._marker(tree)
            if not self._bears_ours(tree, marker):
                self._judge(tree, marker)

    def _make(self, tree: Path) -> None:
        """Make a tree that is new or that a person removed; never in place of a missing mount."""
        above = self._known.get(f"{tree}/..")
        moved = above is not None and above != place_of(tree.parent)
        if tree.is_symlink() or moved or (above is None and str(tree) in self._known):
            raise _lost(tree)
        for folder in tree.parents:
            if (known := self._known.get(str(folder))) is not None:
                ours = self._bears_ours(folder, self._marker(folder))
                if not ours and known != place_of(folder):
                    raise _lost(folder)
        make_folders(tree, self._disk)
        self._fresh.add(tree)

    def fresh(self, path: Path) -> Path | None:
        """The tree of `path`, if it was just made and its group is still to be set; only once."""
        tree = self._disk.tree_of(path)
        if tree not in self._fresh:
            return None
        self._fresh.discard(tree)
        return tree

    def _bears_ours(self, tree: Path, marker: str | None) -> bool:
        """Whether the marker is the one that we last wrote there; a new number is recorded."""
        installation, _, number = (marker or "").partition(":")
        if installation != self._id:
            return False
        known = self._known.get(f"{tree}{NUMBER}")
        if known is None:
            self._tell(f"{tree}{NUMBER}", number)
        return known in (None, number)

    def _judge(self, tree: Path, marker: str | None) -> None:
        """Adopt a tree without our marker if that is safe, or if a person has asked for it."""
        if not self._known and (ours := (marker or "").partition(":")[0] or self._id_beside(tree)):
            self._id = ours
            self._tell(INSTALLATION, self._id)
            if marker:
                self._tell(f"{tree}{NUMBER}", marker.partition(":")[2])
                return
        before = self._known.get(str(tree))
        if marker or (marker is None and before is not None and before != place_of(tree)):
            raise _lost(tree)
        self._keep(tree)
        number = secrets.token_hex(4)
        try:
            write_durably(tree / MARKER, f"{self._id}:{number}".encode(), self._disk)
        except OSError:
            return  # such as a read-only file system: its place decides
        self._tell(f"{tree}{NUMBER}", number)
        if before is not None:
            self._adopted(tree)

    def _id_beside(self, spool: Path) -> str:
        """The id in the markers of the trees beside a new spool; empty unless all have the same.

        They have one if the spool was deleted with the ledger in it.  Only trees on the spool's own
        mount count, and no other is looked at: a share may be another installation's, or hang.
        """
        root, table, ids = Path(os.path.realpath(spool.parent)), mounts(), set()
        here = mount_of(str(root), table)
        for tree in self._beside:
            if not tree.is_relative_to(spool.parent):
                continue
            real = root / tree.relative_to(spool.parent)
            below = [each for each in (*reversed(real.parents), real) if root in each.parents]
            with contextlib.suppress(OSError):
                if mount_of(str(real), table) == here and not any(map(Path.is_symlink, below)):
                    ids.add((self._marker(real) or "").partition(":")[0])
        ids.discard("")
        return ids.pop() if len(ids) == 1 else ""

    def _marker(self, tree: Path) -> str | None:
        """The text of the tree's marker: None without a marker, "" for one that a person made.

        A folder, a link or a pipe of that name is no marker.
        """
        found = self._disk.read(tree / MARKER, 1024)
        return None if found is None else found.decode("ascii", "replace").strip()

    def _keep(self, tree: Path) -> None:
        for name, place in ((tree, place_of(tree)), (f"{tree}/..", place_of(tree.parent))):
            if self._known.get(str(name)) != place:
                self._tell(str(name), place)

    def _tell(self, name: str, value: str) -> None:
        self._known[name] = value
        self._remember(name, value)


def place_of(path: Path) -> str:
    """The file system that a folder is on, or would be on, and its path in that file system.

    The path tells two mounts of one file system apart.
    """
    real = Path(os.path.realpath(path))
    there = next(each for each in (real, *real.parents) if each.exists())
    mount = mount_at(real)
    kind, inside = ("", "") if mount is None else place_on(mount, str(real))
    return f"{os.statvfs(there).f_fsid:x} {kind} {inside}"


def _lost(tree: Path) -> PlaceError:
    error = PlaceError(
        f"{display(tree)} is not the folder it was: its file system is not mounted, another one "
        "is, or it belongs to another installation",
        hint=f"Mount it again; work goes on by itself.  If what lies there now is to be used: "
        f"`mkdir -p {display(tree)}`, `: > {display(tree / MARKER)}`.",
        kind="tree-lost",
    )
    error.path = tree
    return error
