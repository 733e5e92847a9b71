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
    """Speaks to the socket that systemd listens on: `$NOTIFY_SOCKET`, or empty where nobody does.

    That is a path, or an abstract name after `@`.
    """

    def __init__(self, address: str = "") -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self._last_status = ""

    def status(self, text: str) -> None:
        """One line on what the daemon is doing; the same line twice is sent once."""
        line = display(text)[:LONGEST_STATUS]
        if line != self._last_status:
            self._last_status = line
            self._send(f"STATUS={line}")

    def ready(self) -> None:
        """Start-up, or taking a new configuration, is complete."""
        self._send("READY=1")

    def loading(self, seconds: float) -> None:
        """Start-up goes on; do not give up for so many seconds."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * MICROSECONDS)}")

    def reloading(self) -> None:
        """A new configuration is being taken.

        The time stamp is what `Type=notify-reload` asks for; older systemd ignores it.
        """
        stamp = time.monotonic_ns() // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={stamp}")

    def stopping(self) -> None:
        """The daemon drains and ends."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Watcher, worker and engine have just been seen to work."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if self._address:
            # A supervisor that is gone or busy is no reason to stop working.
            with contextlib.suppress(OSError):
                self._socket.sendto(message.encode(), self._address)


def notifier(environment: MutableMapping[str, str] = os.environ) -> Notifier:
    """Who supervises this process.  Takes the socket's name out of the environment.

    Children must not find it: what they said would be taken for the daemon's word.
    """
    return Notifier(environment.pop("NOTIFY_SOCKET", ""))
