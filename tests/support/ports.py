"""Ports of one's own: nobody else on the machine is given them while they are reserved."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that only a server told of it takes.

    A port looked up and let go may be another's by the time a server binds it.  This one stays
    bound, without listening: the kernel hands it to nobody that asks for any port, and a server
    that names it and sets SO_REUSEADDR, as they all do, can still listen on it.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """So many of them."""
    with ExitStack() as held:
        yield [held.enter_context(reserved_port()) for _ in range(count)]
