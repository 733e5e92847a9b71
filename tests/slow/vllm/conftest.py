"""The real vLLM on a CPU, with a small random checkpoint (`make test-vllm`).

Where vLLM is not installed nothing in this folder is collected.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from tests.slow.vllm.checkpoint import make
from tests.slow.vllm.engines import resident

__all__ = ["checkpoint", "checkpoint_2", "resident"]

collect_ignore_glob = [] if importlib.util.find_spec("vllm") else ["test_*.py"]

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_NUM_OF_RESERVED_CPU", "0")  # all cores are for the model
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
# Where other programs want the cores as well, a step of a big batch has taken more than vLLM's 300.
os.environ.setdefault("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "1800")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small DeepSeek-OCR; read it only."""
    return make(tmp_path_factory.mktemp("deepseek-ocr"))


@pytest.fixture(scope="session")
def checkpoint_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small DeepSeek-OCR-2; read it only."""
    folder = tmp_path_factory.mktemp("deepseek-ocr-2")
    return make(folder, architecture="DeepseekOCR2ForCausalLM")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests that share the resident engine come last, so that nothing else runs beside it."""
    items.sort(key=lambda item: "resident" in getattr(item, "fixturenames", ()))
