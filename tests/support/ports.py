"""Reserved ports: the kernel gives them to no other process that asks for a free port."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that only a server given its number can take.

    A port that is looked up and released may be taken before a server binds it.  This port stays
    bound, without listening: the kernel gives it to no process that asks for any free port, but a
    server that names it and sets SO_REUSEADDR, as they all do, can still listen on it.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """`count` such ports."""
    with ExitStack() as held:
        yield [held.enter_context(reserved_port()) for _ in range(count)]
