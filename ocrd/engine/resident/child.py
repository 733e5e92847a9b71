"""What runs inside the engine's own process besides vLLM.

vLLM builds its log handlers from a file that names `connect` below, in each of its processes.
There the log is sent to the daemon, which follows the loading by it and finds in it why an engine
died; and there two things are put right that a service needs: Ctrl-C is the daemon's to handle,
and the engine does not outlive a daemon that was killed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from pathlib import Path

SOCKET = "OCRD_ENGINE_LOG"  # environment: where the daemon listens
LONGEST = 16_000  # bytes of one message; the end of a traceback says the most
PATIENCE_S = 1.0  # the kernel queues few datagrams, and last words should not be lost
PARENT_S = 0.1  # how often to ask for the parent until it is known
PARENT_LOGGER = "ocrd.vllm"


class Sender(logging.Handler):
    """Sends each record as one datagram of JSON, and never fails.

    Args:
        path: The daemon's socket.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(PATIENCE_S)

    def emit(self, record: logging.LogRecord) -> None:
        """Send it; a message that the daemon has no room for is dropped."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            text = self.format(record)[-LONGEST:]
            message = {"pid": os.getpid(), "level": record.levelno, "text": text}
            self._socket.sendto(json.dumps(message).encode(), self._path)


class Forward(logging.Handler):
    """In the daemon itself: vLLM's records go to the logger `ocrd.vllm`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on, if that logger wants it."""
        logger = logging.getLogger(PARENT_LOGGER)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


def connect() -> logging.Handler:
    """The handler for this process; in an engine's process, also the two remedies."""
    path = os.environ.get(SOCKET)
    if not is_child() or path is None:
        return Forward()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_outlive_not, name="ocrd-parent", daemon=True).start()
    return Sender(path)


def is_child() -> bool:
    """Whether `multiprocessing` made this process.

    vLLM 0.26 sets up logging while its process still unpickles what it is to do.  Its name is known
    by then; its parent is not yet, and `parent_process` says None as it does in the daemon.
    """
    return multiprocessing.current_process().name != "MainProcess"


def _outlive_not() -> None:
    """Wait for the daemon to be gone, then go too: nothing else would free the GPU."""
    while (parent := multiprocessing.parent_process()) is None:
        time.sleep(PARENT_S)
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def log_config(level: str = "INFO") -> dict[str, object]:
    """What vLLM's `VLLM_LOGGING_CONFIG_PATH` is to hold."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(message)s"}},
        "handlers": {
            "ocrd": {"()": f"{__name__}.connect", "formatter": "plain", "level": level},
        },
        "loggers": {"vllm": {"handlers": ["ocrd"], "level": level, "propagate": False}},
    }


def write_log_config(folder: Path) -> Path:
    """Put `log_config` where vLLM can read it."""
    path = folder / "logging.json"
    path.write_text(json.dumps(log_config()), encoding="utf-8")
    return path
