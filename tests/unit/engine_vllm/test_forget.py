"""An engine that has stopped leaves nothing in the environment that later processes trip over."""

import os
from pathlib import Path

import pytest

from ocrd.engine.resident.preflight import LOG_CONFIG
from ocrd.engine.resident.process import SOCKET, forget


def test_what_points_into_a_folder_that_goes_is_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOG_CONFIG, str(tmp_path / "logging.json"))
    monkeypatch.setenv(SOCKET, "/run/another/engine-1.log")
    forget(tmp_path)
    assert LOG_CONFIG not in os.environ
    assert os.environ[SOCKET] == "/run/another/engine-1.log"


def test_nothing_set_is_nothing_to_forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LOG_CONFIG, raising=False)
    monkeypatch.delenv(SOCKET, raising=False)
    forget(tmp_path)
