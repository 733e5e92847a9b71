"""Whether a tree is itself, so that nothing is written beneath a mount point whose mount is away.

Every tree bears a marker with the installation's id and a number of its own: a folder beneath a
mount point may bear an older number, from before the mount.  Where the marker is missing, the place
tells: which file system the tree lies on, and where in it.  A marker that cannot be written (a
read-only file system) is done without.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ocrd.errors import PlaceError
from ocrd.files import Disk, display, write_durably
from ocrd.mounts import mount_at, place_on
from ocrd.oserrors import blaming
from ocrd.spool.tree import make_folders

MARKER = ".ocrd-tree"
NUMBER = "/#"  # ends the name, among the known trees, of the number in a tree's marker
INSTALLATION = "installation"
"""The name, among the known trees, of an id that a new ledger took over from trees it found."""


class Trees:
    """The trees of an installation: inboxes, outboxes, archives, failed/ and the spool.

    Args:
        installation: Its id, as the ledger keeps it.
        known: Where each tree lay when it was last seen, by path; as `remember` was told.
        disk: The system calls.
        remember: Told a tree's path and its place, to be kept in the ledger.
        adopted: Told of a tree that a person has replaced by a new one.
    """

    def __init__(
        self,
        installation: str,
        known: Mapping[str, str],
        disk: Disk,
        remember: Callable[[str, str], object],
        *,
        adopted: Callable[[Path], object] = lambda _tree: None,
    ) -> None:
        self._known = dict(known)
        self._id = self._known.get(INSTALLATION, installation)
        self._disk = disk
        self._remember = remember
        self._adopted = adopted
        self._turns: dict[Path, threading.Lock] = {}
        self._fresh: set[Path] = set()
        self._within = threading.local()  # the trees that this thread holds
        for tree in known.keys() - {INSTALLATION}:
            if not tree.endswith(("/..", NUMBER)):
                disk.know(Path(tree))

    def check(self, tree: Path) -> None:
        """Make sure that a tree is itself; a new one is made and marked.  From now on it is known.

        Check the spool first: a new ledger takes over the id that it bears, or the trees beside it.

        Raises:
            PlaceError: It is not itself (kind `tree-lost`), or cannot be read now.
        """
        self._disk.know(tree)
        with self.holding(tree) as looked:
            if looked:  # what a thread holds may be another than what lies there by now
                self._keep(tree)

    @contextlib.contextmanager
    def holding(self, *paths: Path) -> Iterator[bool]:
        """The trees of these paths are themselves, and this thread works beneath what they are now.

        A path that lies in no known tree is let pass, and so is a tree that this thread holds.

        Yields:
            Whether one was looked at.

        Raises:
            PlaceError: One is not itself (kind `tree-lost`), or cannot be read now.
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
        with self._turns.setdefault(tree, threading.Lock()):  # it is made and marked once, by one
            try:
                stack.enter_context(self._disk.hold(tree))
            except FileNotFoundError:
                self._make(tree)
                stack.enter_context(self._disk.hold(tree))
            marker = self._marker(tree)
            if not self._bears_ours(tree, marker):
                self._judge(tree, marker)

    def _make(self, tree: Path) -> None:
        """A tree that a person removed, or a new one; not in the place of a mount that is away."""
        above = self._known.get(f"{tree}/..")
        moved = above is not None and above != place_of(tree.parent)
        if tree.is_symlink() or moved or (above is None and str(tree) in self._known):
            raise _lost(tree)
        for folder in tree.parents:
            if str(folder) in self._known and not self._is_itself(folder):
                raise _lost(folder)
        make_folders(tree, self._disk)
        self._fresh.add(tree)

    def fresh(self, path: Path) -> Path | None:
        """The tree of a path, told once, if it was made anew: it has nobody's group yet."""
        tree = self._disk.tree_of(path)
        if tree not in self._fresh:
            return None
        self._fresh.discard(tree)
        return tree

    def _is_itself(self, tree: Path) -> bool:
        ours = self._bears_ours(tree, self._marker(tree))
        return ours or self._known[str(tree)] == place_of(tree)

    def _bears_ours(self, tree: Path, marker: str | None) -> bool:
        """Whether the marker is the one written there last; an unknown number is learnt."""
        installation, _, number = (marker or "").partition(":")
        if installation != self._id:
            return False
        known = self._known.get(f"{tree}{NUMBER}")
        if known is None:
            self._tell(f"{tree}{NUMBER}", number)
        return known in (None, number)

    def _judge(self, tree: Path, marker: str | None) -> None:
        """The marker is not ours: adopt the tree where that is safe, or was asked for."""
        if not self._known and (borne := marker or self._borne_beside(tree)):
            self._id, _, number = borne.partition(":")
            self._tell(INSTALLATION, self._id)
            if marker:
                self._tell(f"{tree}{NUMBER}", number)
                return
        before = self._known.get(str(tree))
        if marker or (marker is None and before is not None and before != place_of(tree)):
            raise _lost(tree)
        self._keep(tree)
        number = secrets.token_hex(4)
        try:
            write_durably(tree / MARKER, f"{self._id}:{number}".encode(), self._disk)
        except OSError:
            return  # read-only, say: its place tells
        self._tell(f"{tree}{NUMBER}", number)
        if before is not None:
            self._adopted(tree)

    def _borne_beside(self, spool: Path) -> str | None:
        """What a tree below the root bears: a spool deleted with the ledger in it left it there."""
        borne = (self._marker(marker.parent) for marker in spool.parent.glob(f"*/*/{MARKER}"))
        return next(filter(None, borne), None)

    def _marker(self, tree: Path) -> str | None:
        """What it bears: None for no marker, "" for one that a person made.

        A folder, a link or a pipe of that name is none, whoever put it there.
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
    """On which file system a folder lies, or would lie, and where in it.

    The second tells two mounts of one file system apart.
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
