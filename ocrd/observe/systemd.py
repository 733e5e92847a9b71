"""systemd's notification protocol: READY, STATUS, WATCHDOG, RELOADING, STOPPING (sd_notify(3))."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping

from ocrd.files import display

LONGEST_STATUS = 200  # characters; `systemctl status` shows one line
MICROSECONDS = 1_000_000


class Notifier:
    """Sends messages to systemd's socket, `$NOTIFY_SOCKET`; to nobody if the address is empty.

    The address is a path, or an abstract name after `@`.
    """

    def __init__(self, address: str = "") -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._last_status = ""

    def status(self, text: str) -> None:
        """Say in one line what the daemon is doing; the same line is not sent twice in a row."""
        line = display(text)[:LONGEST_STATUS]
        if line != self._last_status:
            self._last_status = line
            self._send(f"STATUS={line}")

    def ready(self) -> None:
        """Say that the start, or the change to a new configuration, is complete."""
        self._send("READY=1")

    def loading(self, seconds: float) -> None:
        """Say that the start continues, and may take `seconds` more before systemd gives up."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * MICROSECONDS)}")

    def reloading(self) -> None:
        """Say that a new configuration is being loaded.

        The time stamp is what `Type=notify-reload` asks for; older systemd ignores it.
        """
        stamp = time.monotonic_ns() // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={stamp}")

    def stopping(self) -> None:
        """Say that the daemon drains and ends."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Say that scheduler, inboxes and engine have just been seen to work."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address:
            # A supervisor that is gone or busy is no reason to stop working.
            with contextlib.suppress(OSError):
                self._socket.sendto(message.encode(), self._address)


def notifier(environment: MutableMapping[str, str] = os.environ) -> Notifier:
    """The notifier to this process's supervisor; takes its address out of the environment.

    Children must not find it there: their messages would be taken for the daemon's.
    """
    return Notifier(environment.pop("NOTIFY_SOCKET", ""))
