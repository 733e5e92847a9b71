"""Which servers there are, how they are reached, and what they are to be started with."""

from __future__ import annotations

import ipaddress
import json
import shlex
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ocrd.engine.deepseek.plugin import NEWEST
from ocrd.engine.models import MARKDOWN, ModelProfile, by_name, profile_named
from ocrd.engine.resident.preflight import SECOND_RUNNER, expected_profile
from ocrd.engine.resident.settings import MOST_RENDERERS, Place, VllmSettings, engine_arguments
from ocrd.errors import EngineSetupError
from ocrd.modes import RESOLUTIONS

UNIX = "unix:"
TRUST = "--trust-request-mm-kwargs"  # of vLLM 0.31 and later; before, requests are always trusted
OURS_ONLY = ("model", "disable_log_stats")  # the first has its own place on the command line
CONTAINER_PORT = 8000
COMPOSE = """\
services:
  ocr:
    build:
      context: .  # a checkout of ocrd: its plugin has to be in the image
      dockerfile_inline: |
        FROM vllm/vllm-openai:v{version}
        COPY . /opt/ocrd
        RUN pip install --no-deps /opt/ocrd
    command:
{words}
    ports:
      - "{port}:{port}"
    volumes:
      - huggingface:/root/.cache/huggingface
    ipc: host
    restart: unless-stopped
    environment:
      {runner}: "0"
{key}    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              count: 1
              capabilities: [gpu]
volumes:
  huggingface: {{}}
"""
COMPOSE_KEY = """\
      VLLM_API_KEY: ${VLLM_API_KEY}  # as in engine.api_key_file
"""


class Address:
    """Where a server listens.

    Args:
        text: `http://gpu1:8000`, `https://ocr.example.org/prefix` or `unix:/run/vllm.sock`; names
            the server everywhere.

    Attributes:
        base: What paths such as `/v1/models` are added to.
        socket: Of a Unix socket, its path.
        near: Whether pages stay on this machine: then they travel uncompressed.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.socket = text.removeprefix(UNIX) if text.startswith(UNIX) else None
        self.base = (
            text.rstrip("/").removesuffix("/v1") if self.socket is None else "http://localhost"
        )
        self.near = self.socket is not None or _is_loopback(urlsplit(text).hostname or "")


def api_key(settings: VllmSettings) -> str:
    """What the servers take for a key; empty where none is configured.

    Raises:
        EngineSetupError: It cannot be read.
    """
    file = settings.api_key_file
    if file is None:
        return ""
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineSetupError(
            f"engine.api_key_file {file} cannot be read: {reason}.",
            hint="Write the servers' key into it, readable for the daemon's user alone.",
            kind="api-key",
        ) from error
    if not key.isascii() or not key.isprintable() or not key:
        raise EngineSetupError(
            f"engine.api_key_file {file} holds no key.",
            hint="It must hold the key that the servers were started with, and nothing else.",
            kind="api-key",
        )
    return key


def family(settings: VllmSettings) -> ModelProfile:
    """The profile by which answers are read; plain Markdown for a model that nobody knows.

    Raises:
        EngineSetupError: `engine.profile` names none.
    """
    if settings.profile:
        return profile_named(settings.profile)
    return expected_profile(settings) or by_name(settings.model) or MARKDOWN


def serve_command(settings: VllmSettings) -> list[str]:
    """The command that starts a server which fits, one word each, key and address apart."""
    profile = family(settings)
    elsewhere = Place("a server", gpu=False)  # whose CUDA graphs would fill this line with numbers
    arguments = engine_arguments(settings, profile, elsewhere)
    if profile.processor_kwargs(RESOLUTIONS["gundam"]):
        arguments["trust_request_mm_kwargs"] = True
    # Of the machine that will serve, nothing is known here.
    arguments["renderer_num_workers"] = settings.renderer_workers or MOST_RENDERERS
    arguments["served_model_name"] = settings.model
    words = ["vllm", "serve", settings.model]
    for name, value in sorted(arguments.items()):
        if name not in OURS_ONLY:
            words += _option(name, value)
    return words


def shell_line(settings: VllmSettings) -> str:
    """The same for a shell: with the key, and listening where the first server is said to be."""
    words = serve_command(settings)
    first = Address((*settings.servers, "http://localhost:8000")[0])
    if first.socket is not None:
        words += ["--uds", first.socket]
    else:
        parts = urlsplit(first.base)
        words += ["--host", "127.0.0.1" if first.near else "0.0.0.0"]  # noqa: S104 - it is to serve others
        words += ["--port", str(parts.port or CONTAINER_PORT)]
    key = ""
    if settings.api_key_file is not None:
        key = f' VLLM_API_KEY="$(cat {shlex.quote(str(settings.api_key_file))})"'
    return f"{SECOND_RUNNER}=0{key} {shlex.join(words)}"


def compose_service(settings: VllmSettings) -> str:
    """A service for a compose file beside a checkout of ocrd, whose plugin it needs."""
    words = (json.dumps(word.replace("$", "$$")) for word in serve_command(settings)[2:])
    return COMPOSE.format(
        runner=SECOND_RUNNER,
        version=f"{NEWEST[0]}.{NEWEST[1]}.0",
        words="\n".join(f"      - {word}" for word in words),
        key=COMPOSE_KEY if settings.api_key_file is not None else "",
        port=CONTAINER_PORT,
    )


def _option(name: str, value: Any) -> Iterator[str]:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        yield f"--{flag}" if value else f"--no-{flag}"
    elif isinstance(value, dict):
        if value:
            yield from (f"--{flag}", json.dumps(value, separators=(",", ":")))
    elif isinstance(value, list | tuple):
        if value:
            yield from (f"--{flag}", *map(str, value))
    elif value is not None:
        yield from (f"--{flag}", str(value))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
