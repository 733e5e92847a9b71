"""What systemd would hear: a datagram socket, as it listens on itself."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrd.observe.systemd import Notifier, notifier


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


def test_each_word_is_the_protocols(heard: socket.socket) -> None:
    daemon = Notifier(heard.getsockname())
    daemon.loading(90)
    daemon.ready()
    daemon.alive()
    daemon.stopping()
    said = [heard.recv(4096) for _ in range(4)]
    assert said == [b"EXTEND_TIMEOUT_USEC=90000000", b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_reloading_bears_the_time_that_systemd_asks_for(heard: socket.socket) -> None:
    Notifier(heard.getsockname()).reloading()
    first, second = heard.recv(4096).split(b"\n")
    assert first == b"RELOADING=1"
    assert second.removeprefix(b"MONOTONIC_USEC=").isdigit()


def test_a_status_is_one_line_and_sent_once(heard: socket.socket) -> None:
    daemon = Notifier(heard.getsockname())
    daemon.status("reading a\nREADY=1")
    daemon.status("reading a\nREADY=1")
    daemon.alive()
    assert heard.recv(4096) == b"STATUS=reading a\\nREADY=1"
    assert heard.recv(4096) == b"WATCHDOG=1"


def test_an_abstract_address_works() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0ocrd-test-notify")
        listening.settimeout(60)
        Notifier("@ocrd-test-notify").ready()
        assert listening.recv(4096) == b"READY=1"


def test_a_listener_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    Notifier(str(tmp_path / "nobody")).ready()


def test_children_do_not_find_the_socket(heard: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": heard.getsockname(), "PATH": "/bin"}
    notifier(environment).ready()
    assert environment == {"PATH": "/bin"}
    notifier(environment).stopping()  # to nobody
    assert heard.recv(4096) == b"READY=1"
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.recv(4096)
