"""What runs inside an engine's own process: real processes, made as vLLM makes them."""

import json
import logging
import logging.config
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ocrd.engine.resident.preflight import LOG_CONFIG
from ocrd.engine.resident.process import SOCKET, EngineLog, write_log_config
from tests.support.waiting import until
from tests.unit.children.support import is_running
from tests.unit.engine_vllm.eager_logging import run


def allocate() -> None:
    raise MemoryError("CUDA out of memory.")


def engine_process(config: str) -> None:
    """What vLLM's child does: configure logging from the file, speak, fail."""
    logging.config.dictConfig(json.loads(Path(config).read_text()))
    logger = logging.getLogger("vllm.v1.engine.core")
    logger.info("Starting to load model %s...", "/srv/model")
    os.kill(os.getpid(), signal.SIGINT)  # Ctrl-C reaches the whole group: it is not for us
    try:
        allocate()
    except MemoryError:
        logger.exception("EngineCore failed to start.")


def sleeping_engine(config: str) -> None:
    """An engine at work."""
    logging.config.dictConfig(json.loads(Path(config).read_text()))
    logging.getLogger("vllm").info("here")
    signal.pause()


async def test_the_daemon_follows_loading_and_keeps_the_last_words(tmp_path: Path) -> None:
    stages: list[str] = []
    path = tmp_path / "engine.log"
    log = EngineLog(path, stages.append)
    os.environ[SOCKET] = str(path)
    config = str(write_log_config(tmp_path))
    child = multiprocessing.get_context("spawn").Process(target=engine_process, args=(config,))
    child.start()
    await until(lambda: not child.is_alive())
    assert child.exitcode == 0, "neither Ctrl-C nor its log ended it"
    assert log.pid == child.pid
    (words,) = log.words()
    assert words.startswith("EngineCore failed to start.")
    assert "MemoryError: CUDA out of memory." in words
    assert stages == ["loading the weights"]
    log.close()
    assert not path.exists()


async def test_a_vllm_that_sets_up_its_log_while_it_is_imported_is_heard_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "engine.log"
    log = EngineLog(path, lambda stage: None)
    monkeypatch.setenv(SOCKET, str(path))
    monkeypatch.setenv(LOG_CONFIG, str(write_log_config(tmp_path)))
    child = multiprocessing.get_context("spawn").Process(target=run, name="EngineCore")
    child.start()
    await until(lambda: not child.is_alive())
    assert log.pid == child.pid
    assert log.words() == ["CUDA out of memory."]
    log.close()


async def test_an_engine_does_not_outlive_a_daemon_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    log = EngineLog(path, lambda stage: None)
    daemon = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-c", DAEMON, str(write_log_config(tmp_path))],
        env={**os.environ, SOCKET: str(path)},
    )
    await until(lambda: log.pid is not None)
    engine = log.pid
    assert engine is not None
    daemon.kill()
    daemon.wait()
    await until(lambda: not is_running(engine))
    log.close()


DAEMON = """
import multiprocessing, sys
from tests.unit.engine_vllm.test_child import sleeping_engine
if __name__ == "__main__":
    child = multiprocessing.get_context("spawn").Process(target=sleeping_engine, args=sys.argv[1:])
    child.start()
    child.join()
"""


def test_in_the_daemon_itself_vllms_records_go_to_its_own_logging(tmp_path: Path) -> None:
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger = logging.getLogger("ocrd.vllm")
    keep = Keep()
    logger.addHandler(keep)
    logger.setLevel(logging.WARNING)
    os.environ.pop(SOCKET, None)
    try:
        logging.config.dictConfig(json.loads(write_log_config(tmp_path).read_text()))
        logging.getLogger("vllm.config").info("chatter")
        logging.getLogger("vllm.config").warning("careful")
    finally:
        logger.removeHandler(keep)
        logger.setLevel(logging.NOTSET)
        logging.getLogger("vllm").handlers.clear()
    assert [record.getMessage() for record in records] == ["careful"]


async def test_broken_messages_on_the_socket_are_passed_over(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "engine.log"
    log = EngineLog(path, lambda stage: None)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"no json", str(path))
        sender.sendto(b'{"pid": 7, "level": 40, "text": "the end"}', str(path))
    assert log.words() == ["the end"]
    log.close()
