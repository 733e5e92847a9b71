"""How long a client may take to send a request: one that sends nothing holds a connection for ever.

A connection without a request has `HEAD_S` seconds to send the next one's whole head, then it is
closed; while the rest of a refused body comes, `LEAST` bytes in each `HEAD_S` seconds keep it open,
since many clients look for the answer when they have sent all.  A body must bring `LEAST` bytes in
each `STALLED_S` seconds that we wait for it, however many it has brought before; otherwise it is
refused with 408.
"""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive
from uvicorn.protocols.http.h11_impl import H11Protocol

from ocrd.web.errors import RefusedError

HEAD_S = 30.0
STALLED_S = 60.0
LEAST = 16 * 1024


class HeadInTime(H11Protocol):
    """A connection that is closed if no whole head of a request comes in time."""

    _timer: asyncio.TimerHandle | None = None
    _brought = 0  # bytes since the timer was set

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Expect the first request."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take what comes."""
        self._brought += len(data)
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Expect the next request, after the rest of a body that nobody reads."""
        super().on_response_complete()
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._cancel()
        self._brought = 0
        self._timer = self.loop.call_later(HEAD_S, self._late)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            return
        if self._brought >= LEAST:
            self._expect()
        else:
            self.transport.close()  # once the client has taken what it was sent


def in_time(receive: Receive) -> Receive:
    """`receive` of a request whose body must not stall.

    It raises RefusedError (408) if it does.  Only the time spent waiting counts: that the disk is
    slow to take the last bytes is not the client's fault.
    """
    left, brought, whole = STALLED_S, 0, False

    async def received() -> Message:
        nonlocal left, brought, whole
        if whole:  # what is awaited now is the end of the connection
            return await receive()
        began = time.monotonic()
        try:
            async with asyncio.timeout(left):
                message = await receive()
        except TimeoutError:
            raise RefusedError(
                408,
                f"less than {LEAST} bytes of the body came in {STALLED_S:.0f} seconds",
                hint="Send it again over a connection that is not so slow.",
            ) from None
        whole = not message.get("more_body", False)
        left -= time.monotonic() - began
        brought += len(message.get("body", b""))
        if brought >= LEAST:
            left, brought = STALLED_S, 0
        return message

    return received
