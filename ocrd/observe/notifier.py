"""The seam to whoever supervises the daemon."""

from __future__ import annotations

from typing import Protocol


class Notifier(Protocol):
    """Is told of the daemon's life; systemd is one."""

    def status(self, text: str) -> None:
        """One line on what the daemon is doing."""

    def ready(self) -> None:
        """Start-up is complete."""

    def loading(self, seconds: float) -> None:
        """Start-up goes on; do not give up for so many seconds."""

    def reloading(self) -> None:
        """A new configuration is being taken; `ready` follows."""

    def stopping(self) -> None:
        """The daemon drains and ends."""

    def alive(self) -> None:
        """Watcher, worker and engine have just been seen to work."""


class NoNotifier:
    """Nobody supervises."""

    def status(self, text: str) -> None:
        """Nothing to do."""

    def ready(self) -> None:
        """Nothing to do."""

    def loading(self, seconds: float) -> None:
        """Nothing to do."""

    def reloading(self) -> None:
        """Nothing to do."""

    def stopping(self) -> None:
        """Nothing to do."""

    def alive(self) -> None:
        """Nothing to do."""
