"""What runs inside an engine's own process: real processes, made as vLLM makes them."""

import json
import logging
import logging.config
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ocrd.engine.resident.preflight import LOG_CONFIG
from ocrd.engine.resident.process import SOCKET, EngineLog, write_log_config
from tests.support.waiting import until
from tests.unit.children.support import is_running
from tests.unit.engine_vllm.eager_logging import run


def engine_process() -> None:
    """What vLLM's child does: configure logging from the file, speak, fail."""
    logging.config.dictConfig(json.loads(Path(os.environ[LOG_CONFIG]).read_text()))
    logger = logging.getLogger("vllm.v1.engine.core")
    logger.info("Starting to load model %s...", "/srv/model")
    os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C reaches the whole group: it is not for us
    fault = MemoryError("CUDA out of memory.")
    logger.error("EngineCore failed to start.", exc_info=fault)


def sleeping_engine() -> None:
    """An engine at work."""
    logging.config.dictConfig(json.loads(Path(os.environ[LOG_CONFIG]).read_text()))
    logging.getLogger("vllm").info("here")
    signal.pause()


class Heard(EngineLog):
    """A log in the daemon, with the stages that it told of."""

    def __init__(self, path: Path) -> None:
        self.stages: list[str] = []
        self.path = path
        super().__init__(path, self.stages.append)


@pytest_asyncio.fixture
async def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heard]:
    """To which processes send what they say that are started now."""
    log = Heard(tmp_path / "engine.log")
    monkeypatch.setenv(SOCKET, str(log.path))
    monkeypatch.setenv(LOG_CONFIG, str(write_log_config(tmp_path)))
    yield log
    log.close()
    assert not log.path.exists()


async def ended(target: Callable[[], None], **more: Any) -> multiprocessing.process.BaseProcess:
    child = multiprocessing.get_context("spawn").Process(target=target, **more)
    child.start()
    await until(lambda: not child.is_alive())
    return child


async def test_the_daemon_follows_loading_and_keeps_the_last_words(log: Heard) -> None:
    child = await ended(engine_process)
    assert child.exitcode == 0, "neither Ctrl-C nor its log ended it"
    assert log.pid == child.pid
    (words,) = log.words()
    assert words.startswith("EngineCore failed to start.")
    assert "MemoryError: CUDA out of memory." in words
    assert log.stages == ["loading the weights"]


async def test_a_vllm_that_sets_up_its_log_while_it_is_imported_is_heard_too(log: Heard) -> None:
    child = await ended(run, name="EngineCore")
    assert log.pid == child.pid
    assert log.words() == ["CUDA out of memory."]


async def test_an_engine_does_not_outlive_a_daemon_that_is_killed(log: Heard) -> None:
    daemon = subprocess.Popen([sys.executable, "-c", DAEMON])  # noqa: ASYNC220 - it returns at once
    await until(lambda: log.pid is not None)
    engine = log.pid
    assert engine is not None
    daemon.kill()
    daemon.wait()
    await until(lambda: not is_running(engine))


DAEMON = """
import multiprocessing
from tests.unit.engine_vllm.test_child import sleeping_engine
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=sleeping_engine)
    child.start()
    child.join()
"""


def test_in_the_daemon_itself_vllms_records_go_to_its_own_logging(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SOCKET, raising=False)
    with caplog.at_level(logging.WARNING, "ocrd.vllm"):
        logger = logging.getLogger("ocrd.vllm")
        logger.addHandler(caplog.handler)
        try:
            logging.config.dictConfig(json.loads(write_log_config(tmp_path).read_text()))
            logging.getLogger("vllm.config").info("chatter")
            logging.getLogger("vllm.config").warning("careful")
        finally:
            logger.removeHandler(caplog.handler)
            logging.getLogger("vllm").handlers.clear()
    assert set(caplog.messages) == {"careful"}


async def test_broken_messages_on_the_socket_are_passed_over(log: Heard) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"no json", str(log.path))
        sender.sendto(b'{"pid": 7, "level": 40, "text": "the end"}', str(log.path))
    assert log.words() == ["the end"]
