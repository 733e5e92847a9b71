"""Brings up vLLM engines, each with its process, and ends them."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrd.engine.resident.child import SOCKET
from ocrd.engine.resident.installed import LOG_CONFIG, Vllm
from ocrd.engine.resident.log import EngineLog

SHUTDOWN_S = 2.0  # no page is lost by killing: a stopping engine has none in flight


class LaunchError(Exception):
    """An engine did not come up.

    Attributes:
        words: The last of its log.
    """

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
    """Starts engines, several at once if need be.

    Args:
        vllm: vLLM's names.
        folder: A private folder for sockets.
        log_config: For vLLM's processes; see `child`.
    """

    def __init__(self, vllm: Vllm, folder: Path, log_config: Path) -> None:
        self._vllm = vllm
        self._folder = folder
        self._log_config = log_config
        self._numbers = itertools.count(1)
        self._door = asyncio.Lock()

    async def launch(self, arguments: dict[str, Any], tell: Callable[[str], None]) -> Launched:
        """One engine, which takes vLLM half a minute or more.

        Raises:
            LaunchError: It did not come up; its cause is vLLM's exception.
        """
        path = self._folder / f"engine-{next(self._numbers)}.log"
        log = EngineLog(path, tell)
        building = await self._start(arguments, path, log)
        try:
            engine = await asyncio.shield(building)
        except asyncio.CancelledError:
            kill_child(log.pid)
            await asyncio.wait({building})
            await self._discard(building, log)
            raise
        except Exception as error:
            words = log.words()
            kill_child(log.pid)
            log.close()
            raise LaunchError(words) from error
        return Launched(engine, log)

    async def _start(
        self, arguments: dict[str, Any], path: Path, log: EngineLog
    ) -> asyncio.Future[Any]:
        """Begin to build, and hold the door until the new process has read its environment."""
        async with self._door:
            os.environ[SOCKET] = str(path)
            os.environ[LOG_CONFIG] = str(self._log_config)
            building = asyncio.get_running_loop().run_in_executor(None, self._build, arguments)
            spoken = asyncio.create_task(log.spoken.wait())
            await asyncio.wait({building, spoken}, return_when=asyncio.FIRST_COMPLETED)
            spoken.cancel()
            return building

    def _build(self, arguments: dict[str, Any]) -> Any:
        given = self._vllm.AsyncEngineArgs(**arguments)
        config = given.create_engine_config()
        # While a step is under way its pages still hold their places among the encoded ones.  With
        # vLLM's number of places every second step is planned when none is free, and encodes a
        # single page.  A place is 2.5 KB.
        config.scheduler_config.encoder_cache_size *= 2
        return self._vllm.AsyncLLM.from_vllm_config(
            config, disable_log_stats=given.disable_log_stats
        )

    async def _discard(self, building: asyncio.Future[Any], log: EngineLog) -> None:
        if building.exception() is None:
            await Launched(building.result(), log).close()
        else:
            log.close()


def forget(folder: Path) -> None:
    """Point no later engine process at files of a folder that is going away."""
    for name in (SOCKET, LOG_CONFIG):
        if Path(os.environ.get(name, "")).is_relative_to(folder):
            del os.environ[name]


def kill_child(pid: int | None) -> None:
    """SIGKILL to a child of ours; to nobody if it is gone (its number may be another's by now)."""
    for child in multiprocessing.active_children():
        if child.pid == pid:
            child.kill()
            child.join(SHUTDOWN_S)
