"""A clock to turn by hand, real mounts, kernel limits that are put back, another user's eyes."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec

from ocrd.config import Folder, Settings
from ocrd.files import Disk
from ocrd.inbox.inotify import Inotify
from ocrd.inbox.settle import Candidate
from ocrd.inbox.watcher import Watcher
from tests.support.needs import need
from tests.support.waiting import HANG_S

SETTLE, MAX_WAIT, RESCAN = 5, 600, 60
"""Seconds, by the clock that is turned by hand."""
NOBODY = 65534
LIMITS = Path("/proc/sys/user")
"""Of a user namespace: max_inotify_watches, max_inotify_instances (user_namespaces(7))."""
CLONE_NEWUSER = 0x10000000
P = ParamSpec("P")


class Clock:
    """Stands still until it is turned."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += seconds


class FolderWatch(Watcher):
    """A watcher with an inotify instance of its own, as a lane gives it."""

    inotify: Inotify | None = None

    def start(self) -> None:
        self.check_root()
        try:
            self.inotify = Inotify() if self.wants_events else None
            self.listen(self.inotify)
        except OSError as error:
            self.listen(error)

    def step(self) -> list[Candidate]:
        for event in self.inotify.read() if self.inotify is not None else ():
            self.heard(event)
        return super().step()

    def stop(self) -> None:
        super().stop()
        if self.inotify is not None:
            self.inotify.close()
        self.inotify = None


def folder_of(inbox: Path, **keys: object) -> Folder:
    """A folder of that inbox, as a configuration with these keys has it."""
    entry = {"name": "hall", "inbox": inbox, **keys}
    (folder,) = Settings(root=Path("/srv"), folder=[entry]).folder  # type: ignore[list-item]
    return folder


def steps_until(watch: FolderWatch, done: Callable[[], bool], what: str = "it") -> list[Candidate]:
    """Step until `done`; the candidates met on the way.  Fails when that never comes."""
    found: list[Candidate] = []
    limit = time.monotonic() + HANG_S
    while not done():
        assert time.monotonic() < limit, f"{what} did not happen; {watch.conditions}"
        found += watch.step()
        time.sleep(0.01)
    return found


def until_waiting(watch: FolderWatch, count: int) -> list[Candidate]:
    """Step until the watch knows of `count` files that wait."""
    return steps_until(watch, lambda: len(watch.settler) == count, f"{count} files waiting")


def caught_up(watch: FolderWatch) -> list[Candidate]:
    """Step until every event so far has been heard: they come in order, and a file ends the row."""
    last = Path(watch.root.real) / "last-of-all.pdf"
    last.touch()
    found = steps_until(watch, lambda: last.name in watch.settler, "hearing of a new file")
    last.unlink()
    return found + steps_until(watch, lambda: last.name not in watch.settler, "hearing of its end")


def drain(watch: FolderWatch) -> list[Candidate]:
    """Step until there is nothing left to do."""
    found = watch.step()
    while watch.busy:
        found += watch.step()
    return found


def paths(candidates: list[Candidate]) -> list[str]:
    """Their paths, sorted."""
    return sorted(candidate.path for candidate in candidates)


def settled(watch: FolderWatch, clock: Clock) -> list[str]:
    """What comes to rest when the settle time passes after all that has happened."""
    early = caught_up(watch) if watch.kind == "native" else []
    assert early == []
    clock.turn(SETTLE)
    return paths(drain(watch))


def rescanned(watch: FolderWatch, clock: Clock) -> list[Candidate]:
    """What the next rescan, and the settle time after it, bring."""
    scans = watch.scans
    clock.turn(RESCAN)
    found = steps_until(watch, lambda: watch.scans > scans, "a rescan")
    clock.turn(SETTLE)
    return found + drain(watch)


def watch_of(root: Path, clock: Callable[[], float], **options: Any) -> FolderWatch:
    """A watch; options that a folder has are the folder's."""
    keys = {key: options.pop(key) for key in [*options] if key in Folder.model_fields}
    disk = Disk()
    disk.know(root)
    folder = folder_of(root, **{"settle_s": SETTLE, **keys})
    return FolderWatch(folder, disk, clock=clock, **options)


def begun(root: Path, clock: Callable[[], float], **options: Any) -> FolderWatch:
    """A started watch."""
    watch = watch_of(root, clock, **options)
    watch.start()
    return watch


@contextmanager
def watching(root: Path, clock: Callable[[], float], **options: Any) -> Iterator[FolderWatch]:
    """A started watch that has looked through everything once."""
    watch = begun(root, clock, **options)
    try:
        steps_until(watch, lambda: watch.scans > 0 or watch.paused is not None)
        yield watch
    finally:
        watch.stop()


@contextmanager
def mounted(point: Path, *command: str) -> Iterator[None]:
    """Run the mount command, if any; unmount `point` at the end, if it then is a mount."""
    need("fuse" if "bindfs" in command else "mounts")
    point.mkdir(exist_ok=True)
    if command:
        mount(point, *command)
    try:
        yield
    finally:
        if is_mounted(point):
            unmount(point)


def is_mounted(point: Path) -> bool:
    """Whether something is mounted there, be it a bind mount or one whose server died."""
    escaped = str(point).replace(" ", "\\040")
    return f" {escaped} " in Path("/proc/self/mountinfo").read_text()


def mount(point: Path, *command: str) -> None:
    """Run the mount command; who mounts thus unmounts."""
    subprocess.run([*command, str(point)], check=True)


def unmount(point: Path) -> None:
    """Unmount, even where something still looks at it."""
    subprocess.run(["umount", "--lazy", str(point)], check=True)


@contextmanager
def sysctl(knob: Path, value: int) -> Iterator[None]:
    """It is `value` within."""
    before = knob.read_text()
    knob.write_text(f"{value}\n")
    try:
        yield
    finally:
        knob.write_text(before)


def with_limits_of_its_own(test: Callable[P, None]) -> Callable[P, None]:
    """Run a test in a process whose user namespace has limits (LIMITS) that nobody else meets."""

    @functools.wraps(test)
    def within(*args: P.args, **kwargs: P.kwargs) -> None:
        need("namespaces")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _enter_namespace()
                test(*args, **kwargs)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert status == 0, "it says why on stderr"

    return within


def _enter_namespace() -> None:
    """unshare(2); root here is who we are outside."""
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")


@contextmanager
def as_nobody() -> Iterator[None]:
    """This thread's file accesses are those of user nobody: setfsuid(2) drops root's, too."""
    need("root")
    libc = ctypes.CDLL(None)
    libc.setfsgid(NOBODY)
    libc.setfsuid(NOBODY)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)


def chmod_as_root(path: Path, mode: str) -> None:
    """Another process does it: this thread may be nobody."""
    subprocess.run(["chmod", mode, str(path)], check=True)


@contextmanager
def public_folder() -> Iterator[Path]:
    """A temporary folder that nobody may enter (pytest's are root's alone)."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder
