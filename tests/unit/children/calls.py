"""What children are asked to do in these tests.  They find it by this module's name."""

import contextlib
import ctypes
import errno
import os
import resource
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ocrd.errors import BadFileError
from ocrd.page import PageImage, PageResult


def pid() -> int:
    return os.getpid()


def keeper() -> int:
    """The child of the daemon that keeps this process."""
    return os.getppid()


def session() -> tuple[int, int]:
    return os.getpid(), os.getsid(0)


def sleep(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def announce_and_sleep(file: Path, seconds: float) -> int:
    """Say which process this is, then be busy."""
    file.with_suffix(".part").write_text(str(os.getpid()))
    file.with_suffix(".part").rename(file)
    time.sleep(seconds)
    return os.getpid()


def spin_for(seconds: float) -> float:
    """Use so much CPU time."""
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass
    return time.process_time() - start


def spin() -> None:
    while True:
        pass


def crash() -> None:
    """Read what is not there, as a broken decoder does."""
    ctypes.string_at(0)


def leave() -> None:
    os._exit(7)


def allocate(mib: int) -> int:
    return len(bytearray(mib << 20))


def image(side: int) -> PageImage:
    return PageImage(side, side, bytes(range(256)) * (side * side * 3 // 256))


def total(image: PageImage) -> int:
    return sum(image.rgb)


def bad_file(reason: str) -> None:
    raise BadFileError(f"It is {reason}.", hint="Scan it again.", kind=reason)


def key_error() -> None:
    raise KeyError("nobody foresaw this")


def unsendable() -> object:
    return sleep.__code__


def environment() -> dict[str, str]:
    return dict(os.environ)


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, size: int) -> int:
    return path.write_bytes(b"x" * size)


def listing(path: Path) -> list[str]:
    return os.listdir(path)


def run_program(path: Path) -> int:
    return os.posix_spawn(path, [str(path)], {})


def open_many(count: int) -> int:
    """How many of so many descriptors could be had."""
    held = []
    try:
        for _ in range(count):
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for descriptor in held:
        os.close(descriptor)
    return len(held)


def forge(message: bytes) -> int:
    """Answer as code that a hostile file smuggled in would: with what it likes."""
    os.pwrite(int(sys.argv[2]), message, 0)
    _say_done()
    time.sleep(60)
    return 0


def forge_with(message: bytes) -> PageResult:
    """The same, where a page is expected."""
    forge(message)
    return PageResult(text="")


def _say_done() -> None:
    """Pass the turn on every socket that is open: one of them is the way to the daemon."""
    for descriptor in range(3, 4096):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"!") if stat.S_ISSOCK(os.fstat(descriptor).st_mode) else None


def abort() -> None:
    os.abort()


def os_error(code: int, name: str | None) -> None:
    raise OSError(code, os.strerror(code), name)


def damaged() -> None:
    raise BadFileError("It cannot be read.", hint="Scan it again.", kind="damaged")


def refused(what: str) -> str:
    """The name of the error code with which the kernel answers a call; empty if it lets it pass."""
    try:
        _ATTEMPTS[what]()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def _syscall(number: int, *arguments: int) -> None:
    """A call that Python has no name for, by its number (the same on every machine from 424 on)."""
    if ctypes.CDLL(None, use_errno=True).syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _unshare() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000) < 0:  # CLONE_NEWUSER
        raise OSError(ctypes.get_errno(), "refused")


def _limit_parent() -> None:
    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))


_ATTEMPTS: dict[str, Callable[[], object]] = {
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "unix socket": lambda: socket.socket(socket.AF_UNIX),
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "memfd": lambda: os.memfd_create("x"),
    "user namespace": _unshare,
    "io_uring": lambda: _syscall(425, 8, 0),
    "pidfd": lambda: os.pidfd_open(os.getppid()),
    "clone3": lambda: _syscall(435, 0, 0),
    "a call newer than all": lambda: _syscall(600),
    "kill": lambda: os.kill(os.getppid(), 0),
    "limits of another": _limit_parent,
    "session": os.setsid,
    "chmod": lambda: os.chmod("/tmp", 0o777),
    "utime": lambda: os.utime("/tmp"),
    "symbolic link": lambda: os.symlink("/etc/passwd", "/tmp/link"),
    "hard link": lambda: os.link("/etc/passwd", "/tmp/link"),
    "xattr": lambda: os.setxattr("/tmp", "user.x", b"y"),
}


def threads(count: int) -> int:
    """Start so many, as numerical libraries do."""
    ended: list[int] = []
    started = [threading.Thread(target=ended.append, args=(n,)) for n in range(count)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return len(ended)
