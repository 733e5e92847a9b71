"""What vLLM 0.26 does: whoever imports it sets up logging, even in a process half unpickled."""

import json
import logging
import logging.config
import os
from pathlib import Path

from ocrd.engine.resident.preflight import LOG_CONFIG

if LOG_CONFIG in os.environ:
    logging.config.dictConfig(json.loads(Path(os.environ[LOG_CONFIG]).read_text()))


def run() -> None:
    """The engine dies."""
    logging.getLogger("vllm.v1.engine.core").error("CUDA out of memory.")
