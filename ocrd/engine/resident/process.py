"""An engine's process: started, followed by its log, and ended.

vLLM builds its log handlers from a file that names `connect` below, in each of its processes.
There the log is sent to the daemon, which follows the loading by it and finds in it why an engine
died; and there two things are put right that a service needs: Ctrl-C is the daemon's to handle,
and the engine does not outlive a daemon that was killed.
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
PATIENCE_S = 1.0  # the kernel queues few datagrams, and last words should not be lost
PARENT_S = 0.1  # how often to ask for the parent until it is known
PARENT_LOGGER = "ocrd.vllm"
SHUTDOWN_S = 2.0  # no page is lost by killing: a stopping engine has none in flight
LAST_WORDS = 100
SCHEDULER = "ocrd.engine.deepseek.scheduler.GroupScheduler"
CHILD = "EngineCore"  # how the names of vLLM's engine processes begin
CHILD_S = 0.02  # how often to look whether it is there
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
    """An engine did not come up; `words` are the last of its log."""

    def __init__(self, words: list[str]) -> None:
        super().__init__("the engine did not come up")
        self.words = words


@dataclass(frozen=True, slots=True)
class Launched:
    """A running `AsyncLLM` and the log of its process."""

    engine: Any
    log: EngineLog

    def kill(self) -> None:
        """End the process at once."""
        kill_child(self.log.pid)

    async def close(self) -> None:
        """End engine and process; nothing of them is left."""
        await asyncio.to_thread(self.engine.shutdown, timeout=SHUTDOWN_S)
        self.kill()
        self.log.close()


class Launcher:
    """Starts engines, several at once if need be; their sockets lie in a private folder."""

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
        """One engine, which takes vLLM half a minute or more.

        Args:
            arguments: vLLM's.
            tell: Is told of each stage of loading.
            environment: Its process gets this beside ours.

        Raises:
            LaunchError: It did not come up; its cause is vLLM's exception.
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
                    finally:  # it comes with the wrong environment, else, whoever gives it up
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
        # While a step is under way its pages still hold their places among the encoded ones.  With
        # vLLM's number of places every second step is planned when none is free, and encodes a
        # single page.  A place is 2.5 KB.
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
    """Until an engine has its process, or has none for good."""
    while not (building.done() or engine_processes() - before):  # noqa: ASYNC110 - vLLM tells nobody
        await asyncio.sleep(CHILD_S)


def compile_caches() -> list[Path]:
    """Where vLLM keeps what was compiled, and torch for us where a folder is set for it."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    vllm = Path(os.environ.get("VLLM_CACHE_ROOT") or home / "vllm").expanduser()
    torch = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return [vllm / "torch_compile_cache", *([Path(torch)] if torch else [])]


def set_aside(caches: Iterable[Path]) -> list[Path]:
    """Rename what is there of them to NAME.broken, so that it is made anew; returns those names."""
    aside = []
    for cache in caches:
        broken = cache.with_name(f"{cache.name}.broken")
        if cache.is_dir():
            shutil.rmtree(broken, ignore_errors=True)
            with contextlib.suppress(OSError):  # another engine was faster
                cache.rename(broken)
                aside.append(broken)
    return aside


def engine_processes() -> set[int | None]:
    """Of this daemon's engines, those that have been started and live."""
    children = multiprocessing.active_children()
    return {child.pid for child in children if child.name.startswith(CHILD)}


def kill_child(pid: int | None) -> None:
    """SIGKILL to a child of ours; to nobody if it is gone (its number may be another's by now)."""
    for child in multiprocessing.active_children():
        if child.pid == pid:
            child.kill()
            child.join(SHUTDOWN_S)


class EngineLog:
    """Listens to one engine process, and tells of each stage of its loading.

    Attributes:
        pid: Of the engine process, once it has spoken.
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
        """Take in all that has arrived."""
        while True:
            try:
                message = json.loads(self._socket.recv(1 << 18))
            except OSError:
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
    # vLLM 0.26 sets up logging while its process still unpickles what it is to do.  Its name is
    # known by then; its parent is not yet, and `parent_process` says None as it does in the daemon.
    is_child = multiprocessing.current_process().name != "MainProcess"
    if not is_child or path is None:
        return Forward()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_outlive_not, name="ocrd-parent", daemon=True).start()
    return Sender(path)


def _outlive_not() -> None:
    """Wait for the daemon to be gone, then go too: nothing else would free the GPU."""
    while (parent := multiprocessing.parent_process()) is None:
        time.sleep(PARENT_S)
    parent.join()
    os.kill(os.getpid(), signal.SIGKILL)


def write_log_config(folder: Path) -> Path:
    """What vLLM's `VLLM_LOGGING_CONFIG_PATH` is to name, put where vLLM can read it."""
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
