"""The log of an engine's process, as the daemon follows it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ocrd.engine.resident.child import PARENT_LOGGER

LAST_WORDS = 100
STAGES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (r"Initializing a V1 LLM engine", "the engine process is up"),
        (r"Starting to load model", "loading the weights"),
        (r"Loading weights took|Model loading took", "weights loaded"),
        (r"Encoder cache will be initialized", "measuring memory"),
        (r"Dynamo bytecode transform|Compiling a graph|torch\.compile takes", "compiling"),
        (r"GPU KV cache size|CPU KV cache size|Available KV cache memory", "making room for pages"),
        (r"Capturing CUDA graph|Graph capturing", "recording CUDA graphs"),
    )
)


class EngineLog:
    """Listens to one engine process.

    Args:
        path: Where to listen.
        tell: Is told of each stage of loading.

    Attributes:
        pid: Of the engine process, once it has spoken.
        spoken: Set by its first message.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self.pid: int | None = None
        self.spoken = asyncio.Event()
        self._tell = tell
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._logger = logging.getLogger(PARENT_LOGGER)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        asyncio.get_running_loop().add_reader(self._socket, self.drain)

    def drain(self) -> None:
        """Take in all that has arrived."""
        while True:
            try:
                message = json.loads(self._socket.recv(1 << 18))
            except (BlockingIOError, OSError):
                return
            except ValueError:
                continue
            self._take(message["pid"], message["level"], message["text"])

    def words(self) -> list[str]:
        """Its last warnings and errors, tracebacks included, oldest first."""
        self.drain()
        return list(self._words)

    def close(self) -> None:
        """Listen no more."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _take(self, pid: int, level: int, text: str) -> None:
        if self.pid is None:
            self.pid = pid
            self.spoken.set()
        self._logger.log(level, "%s", text)
        if level >= logging.WARNING:
            self._words.append(text)
        stage = next((said for pattern, said in STAGES if pattern.search(text)), None)
        if stage is not None:
            self._tell(stage)
