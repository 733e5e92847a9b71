"""The addresses of the servers, the key for them, and the command that starts one."""

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
TRUST = "--trust-request-mm-kwargs"  # vLLM 0.31 and later; older ones always trust requests
OURS_ONLY = ("model", "disable_log_stats")  # the model has its own place on the command line
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
        text: `http://gpu1:8000`, `https://ocr.example.org/prefix` or `unix:/run/vllm.sock`; also
            the server's name everywhere.

    Attributes:
        base: The URL that paths such as `/v1/models` are appended to.
        socket: The path of the Unix socket; None for HTTP over TCP.
        near: Whether the server is on this machine: then pages are sent uncompressed.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.socket = text.removeprefix(UNIX) if text.startswith(UNIX) else None
        self.base = (
            text.rstrip("/").removesuffix("/v1") if self.socket is None else "http://localhost"
        )
        self.near = self.socket is not None or _is_loopback(urlsplit(text).hostname or "")


def api_key(settings: VllmSettings) -> str:
    """The servers' API key; empty if no key file is configured.

    Raises:
        EngineSetupError: The key file cannot be read, or has no valid key.
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
    """The profile for the model's answers; plain Markdown for an unknown model.

    Raises:
        EngineSetupError: `engine.profile` is not the name of a profile.
    """
    if settings.profile:
        return profile_named(settings.profile)
    return expected_profile(settings) or by_name(settings.model) or MARKDOWN


def serve_command(settings: VllmSettings) -> list[str]:
    """The words of the command that starts a suitable server, without key and address."""
    profile = family(settings)
    elsewhere = Place("a server", gpu=False)  # a GPU would add a long list of CUDA graph sizes
    arguments = engine_arguments(settings, profile, elsewhere)
    if profile.processor_kwargs(RESOLUTIONS["gundam"]):
        arguments["trust_request_mm_kwargs"] = True
    # The number of cores of the server's machine is unknown here.
    arguments["renderer_num_workers"] = settings.renderer_workers or MOST_RENDERERS
    arguments["served_model_name"] = settings.model
    words = ["vllm", "serve", settings.model]
    for name, value in sorted(arguments.items()):
        if name not in OURS_ONLY:
            words += _option(name, value)
    return words


def shell_line(settings: VllmSettings) -> str:
    """`serve_command` as a shell line, with the key and the address of the first server."""
    words = serve_command(settings)
    first = Address((*settings.servers, "http://localhost:8000")[0])
    if first.socket is not None:
        words += ["--uds", first.socket]
    else:
        parts = urlsplit(first.base)
        words += ["--host", "127.0.0.1" if first.near else "0.0.0.0"]  # noqa: S104 - serves other hosts
        words += ["--port", str(parts.port or CONTAINER_PORT)]
    key = ""
    if settings.api_key_file is not None:
        key = f' VLLM_API_KEY="$(cat {shlex.quote(str(settings.api_key_file))})"'
    return f"{SECOND_RUNNER}=0{key} {shlex.join(words)}"


def compose_service(settings: VllmSettings) -> str:
    """A compose file for a server, to be put into a checkout of ocrd, whose plugin it needs."""
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
