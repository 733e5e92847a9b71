"""Arenas, as glibc itself tells of them: https://man7.org/linux/man-pages/man3/malloc_info.3.html"""

import os
import platform
import subprocess
import sys

import pytest

THREADS = 6
PROGRAM = f"""
import ctypes, sys, threading
from ocrd.cli.run import share_arenas

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fflush.argtypes = [ctypes.c_void_p]
if sys.argv[1] == "shared":
    share_arenas()
all_there = threading.Barrier({THREADS})

def work():
    libc.malloc(1000)
    all_there.wait()

threads = [threading.Thread(target=work) for _ in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
out = libc.fdopen(1, b"w")
libc.malloc_info(0, out)
libc.fflush(out)
"""


def arenas(how: str, **environment: str) -> int:
    """How many a process has whose threads have all allocated at once."""
    plain = {name: text for name, text in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        env=plain | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return told.stdout.count("<heap nr=")


@pytest.fixture(autouse=True)
def _glibc() -> None:
    assert platform.libc_ver()[0] == "glibc"  # ocrd works without; this test has nothing to ask


def test_threads_share_two_arenas() -> None:
    assert arenas("plain") == THREADS + 1
    assert arenas("shared") == 2


def test_the_operator_has_the_last_word() -> None:
    assert arenas("shared", MALLOC_ARENA_MAX="4") == 4
