"""Starts an engine's process, follows its log, and ends it.

vLLM builds its log handlers from a file that names `connect` below, in each of its processes.
`connect` sends the log to the daemon, which follows the loading in it and finds there why an engine
died.  It also makes two changes that a service needs: Ctrl-C is left to the daemon, and the engine
does not outlive a daemon that was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import multiprocessing
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd.engine.resident.preflight import LOG_CONFIG, Vllm, exported

SOCKET = "OCRD_ENGINE_LOG"  # environment: where the daemon listens
LONGEST = 16_000  # bytes of one message; the end of a traceback says the most
PATIENCE_S = 1.0  # the kernel queues few datagrams, and the last messages should not be lost
PARENT_S = 0.1  # how often to ask for the parent until it is known
PARENT_LOGGER = "ocrd.vllm"
SHUTDOWN_S = 2.0  # no page is lost by killing: a stopping engine has none in flight
LAST_WORDS = 100
SCHEDULER = "ocrd.engine.deepseek.scheduler.GroupScheduler"
CHILD = "EngineCore"  # how the names of vLLM's engine processes begin
CHILD_S = 0.02  # how often to check whether it has started
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


class LaunchError(Exception):
    """An engine failed to start; `words` are the last warnings and errors in its log."""

    def __init__(self, words: list[str]) -> None:
        super().__init__("the engine did not come up")
        self.words = words


@dataclass(frozen=True, slots=True)
class Launched:
    """A running `AsyncLLM` and the log of its process."""

    engine: Any
    log: EngineLog

    def kill(self) -> None:
        """Kill the process immediately."""
        kill_child(self.log.pid)

    async def close(self) -> None:
        """Shut down the engine, then kill its process and close its log."""
        await asyncio.to_thread(self.engine.shutdown, timeout=SHUTDOWN_S)
        self.kill()
        self.log.close()


class Launcher:
    """Starts engines, several concurrently if needed; their log sockets are in a private folder."""

    def __init__(self, vllm: Vllm, folder: Path, log_config: Path) -> None:
        self.vllm = vllm
        self._folder = folder
        self._log_config = log_config
        self._numbers = itertools.count(1)
        self._door = asyncio.Lock()

    async def launch(
        self,
        arguments: dict[str, Any],
        tell: Callable[[str], None],
        environment: Mapping[str, str],
    ) -> Launched:
        """Start one engine, which takes half a minute or more.

        Args:
            arguments: Keyword arguments for vLLM's `AsyncEngineArgs`.
            tell: Called with each stage of loading.
            environment: Variables for its process in addition to ours.

        Raises:
            LaunchError: It failed to start; the error's cause is vLLM's exception.
        """
        path = self._folder / f"engine-{next(self._numbers)}.log"
        log = EngineLog(path, tell)
        building: asyncio.Future[Any] | None = None
        try:
            told = {SOCKET: str(path), LOG_CONFIG: str(self._log_config), **environment}
            async with self._door:  # until the new process has its environment
                with exported(told):
                    before = engine_processes()
                    loop = asyncio.get_running_loop()
                    building = loop.run_in_executor(None, self._build, arguments)
                    begun = loop.create_task(_begun(building, before))
                    try:
                        await asyncio.shield(begun)
                    finally:  # even if cancelled: the process must start in this environment
                        await begun
            return Launched(await asyncio.shield(building), log)
        except asyncio.CancelledError:
            kill_child(log.pid)
            if building is not None:
                await asyncio.wait({building})
            if building is None or building.exception() is not None:
                log.close()
            else:
                await Launched(building.result(), log).close()
            raise
        except Exception as error:
            words = log.words()
            kill_child(log.pid)
            log.close()
            raise LaunchError(words) from error

    def _build(self, arguments: dict[str, Any]) -> Any:
        given = self.vllm.AsyncEngineArgs(**arguments)
        config = given.create_engine_config()
        # While a step runs, its pages still hold their slots in the encoder cache.  With vLLM's
        # number of slots every second step is planned when none is free, and encodes a single
        # page.  A slot takes 2.5 KB.
        config.scheduler_config.encoder_cache_size *= 2
        if (
            config.scheduler_config.async_scheduling
            and config.scheduler_config.scheduler_cls is None
        ):
            config.scheduler_config.scheduler_cls = SCHEDULER
        return self.vllm.AsyncLLM.from_vllm_config(
            config, disable_log_stats=given.disable_log_stats
        )


async def _begun(building: asyncio.Future[Any], before: set[int | None]) -> None:
    """Wait until an engine has its process, or building it has ended without one."""
    while not (building.done() or engine_processes() - before):  # noqa: ASYNC110 - vLLM has no event
        await asyncio.sleep(CHILD_S)


def compile_caches() -> list[Path]:
    """The folders of vLLM's compile cache, and of torch's if the environment sets one."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    vllm = Path(os.environ.get("VLLM_CACHE_ROOT") or home / "vllm").expanduser()
    torch = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return [vllm / "torch_compile_cache", *([Path(torch)] if torch else [])]


def set_aside(caches: Iterable[Path]) -> list[Path]:
    """Rename the existing caches to NAME.broken, so that they are rebuilt; the new names."""
    aside = []
    for cache in caches:
        broken = cache.with_name(f"{cache.name}.broken")
        if cache.is_dir():
            shutil.rmtree(broken, ignore_errors=True)
            with contextlib.suppress(OSError):  # another engine renamed it first
                cache.rename(broken)
                aside.append(broken)
    return aside


def engine_processes() -> set[int | None]:
    """The process ids of this daemon's running engines."""
    children = multiprocessing.active_children()
    return {child.pid for child in children if child.name.startswith(CHILD)}


def kill_child(pid: int | None) -> None:
    """Kill a child of ours; does nothing if it is gone, since its id may have been reused."""
    for child in multiprocessing.active_children():
        if child.pid == pid:
            child.kill()
            child.join(SHUTDOWN_S)


class EngineLog:
    """Receives the log of one engine process, and reports each stage of its loading.

    Attributes:
        pid: The engine process's id; None before its first message.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self.pid: int | None = None
        self._tell = tell
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._logger = logging.getLogger(PARENT_LOGGER)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        asyncio.get_running_loop().add_reader(self._socket, self.drain)

    def drain(self) -> None:
        """Process all messages that have arrived."""
        while True:
            try:
                message = json.loads(self._socket.recv(1 << 18))
            except OSError:
                return
            except ValueError:
                continue
            self._take(message["pid"], message["level"], message["text"])

    def words(self) -> list[str]:
        """The last warnings and errors, tracebacks included, oldest first."""
        self.drain()
        return list(self._words)

    def close(self) -> None:
        """Close the socket and remove its file."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _take(self, pid: int, level: int, text: str) -> None:
        self.pid = self.pid or pid
        self._logger.log(level, "%s", text)
        if level >= logging.WARNING:
            self._words.append(text)
        stage = next((said for pattern, said in STAGES if pattern.search(text)), None)
        if stage is not None:
            self._tell(stage)


class Sender(logging.Handler):
    """Sends each record to the daemon's socket as one datagram of JSON, and never fails."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(PATIENCE_S)

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record; it is dropped if it cannot be delivered within `PATIENCE_S`."""
        with contextlib.suppress(OSError, ValueError, TypeError):
            text = self.format(record)[-LONGEST:]
            message = {"pid": os.getpid(), "level": record.levelno, "text": text}
            self._socket.sendto(json.dumps(message).encode(), self._path)


class Forward(logging.Handler):
    """Passes vLLM's records to the logger `ocrd.vllm`, in the daemon's own process."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass the record on, if that logger is enabled for its level."""
        logger = logging.getLogger(PARENT_LOGGER)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)


def connect() -> logging.Handler:
    """The log handler for this process; in an engine's, it also makes the module's two changes."""
    path = os.environ.get(SOCKET)
    # vLLM 0.26 sets up logging while its process still unpickles its arguments.  By then its name
    # is known, but its parent is not: `parent_process` returns None, as it does in the daemon.
    is_child = multiprocessing.current_process().name != "MainProcess"
    if not is_child or path is None:
        return Forward()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_outlive_not, name="ocrd-parent", daemon=True).start()
    return Sender(path)


def _outlive_not() -> None:
    """Wait until the daemon is gone, then kill this process: nothing else would free the GPU."""
    while (parent := multiprocessing.parent_process()) is None:
        time.sleep(PARENT_S)
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def write_log_config(folder: Path) -> Path:
    """Write the file for vLLM's `VLLM_LOGGING_CONFIG_PATH` into the folder; its path."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(message)s"}},
        "handlers": {
            "ocrd": {"()": f"{__name__}.connect", "formatter": "plain", "level": "INFO"},
        },
        "loggers": {"vllm": {"handlers": ["ocrd"], "level": "INFO", "propagate": False}},
    }
    path = folder / "logging.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path
