"""What children are asked to do in these tests.  They find it by this module's name."""

import ctypes
import os
import pickle
import socket
import sys
import time
from pathlib import Path

from ocrd.errors import BadFileError
from ocrd.page import PageImage


def pid() -> int:
    return os.getpid()


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


def unpicklable() -> object:
    return sleep.__code__


def a_path() -> Path:
    return Path("/")


def environment() -> dict[str, str]:
    return dict(os.environ)


def read(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, size: int) -> int:
    return path.write_bytes(b"x" * size)


def listing(path: Path) -> list[str]:
    return os.listdir(path)


def connect(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


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


class _Payload:
    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.file,)


def forge(file: str) -> None:
    """Answer as code that a hostile file smuggled in would: with a pickle that runs a command."""
    os.pwrite(int(sys.argv[2]), pickle.dumps(_Payload(file)), 0)
    os.write(int(sys.argv[1]), b"!")
    time.sleep(60)


def forge_length() -> None:
    """Answer with a pickle that announces far more bytes than there are."""
    os.pwrite(int(sys.argv[2]), b"\x80\x05\x8e" + (1 << 40).to_bytes(8, "little"), 0)
    os.write(int(sys.argv[1]), b"!")
    time.sleep(60)


def meet(code: int) -> None:
    """The disk answers so."""
    raise OSError(code, os.strerror(code), "/srv/ocrd/.ocrd/jobs/1-a/bundle/a.pdf")


def meet_in_words(code: int) -> None:
    """A library in C tells of it in words only."""
    raise RuntimeError(f"cannot fwrite: {os.strerror(code)}")


def meet_below(code: int) -> None:
    """A library took it for something else."""
    try:
        meet(code)
    except OSError as error:
        raise ValueError("bad stream") from error
