"""The configuration file's keys with their types, bounds and defaults.

`config.example.toml` explains each key to operators.  Every model forbids unknown keys: a mistyped
key must not silently get its default.  Validators raise `ConfigError` with a remedy; pydantic
collects the errors.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from ocrd.config.faults import known
from ocrd.errors import ConfigError
from ocrd.languages import canonical
from ocrd.modes import RESOLUTIONS, AnswerFormat, Guard, PromptMode

# One visible path component; `%` would be read as a date pattern.
Name = Annotated[str, StringConstraints(pattern=r"^[^./%\x00-\x1f\x7f][^/%\x00-\x1f\x7f]{0,99}$")]
Seconds = Annotated[float, Field(ge=0, le=30 * 86400)]
Server = Annotated[
    str, StringConstraints(pattern=r"^(https?://[^\s/?#@]+(/[^\s?#]*)?|unix:/[^\s]+)$")
]
Command = Annotated[list[str], Field(min_length=1)]
Language = Annotated[str, AfterValidator(canonical)]
ResolutionName = Annotated[str, AfterValidator(lambda name: known(name, RESOLUTIONS).name)]


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EngineSettings(Section):
    """`[engine]`: the engine that reads the pages."""

    kind: Literal["auto", "rapidocr", "tesseract", "vllm", "server"] = "auto"
    language: Language = ""
    model: str = "deepseek-ai/DeepSeek-OCR"
    profile: str = ""
    reuse_results: bool = True
    page_timeout_s: Annotated[float, Field(gt=0)] = 600.0
    # RapidOCR and Tesseract
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    # vLLM
    devices: Literal["all"] | list[Annotated[int, Field(ge=0)]] = "all"
    per_device: Literal["auto", 1, 2] = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    max_model_len: Annotated[int, Field(ge=1024)] = 8192
    gpu_memory_utilization: Annotated[float, Field(gt=0.05, le=1.0)] = 0.9
    resolutions: list[ResolutionName] = Field(default_factory=list)
    max_crops: Annotated[int, Field(ge=2, le=9)] = 9
    max_pages_in_flight: Annotated[int, Field(ge=1, le=4096)] = 512
    renderer_workers: Annotated[int, Field(ge=0, le=256)] = 0
    max_num_seqs: Annotated[int, Field(ge=1)] = 256
    max_num_batched_tokens: Annotated[int, Field(ge=1024)] = 16384
    load_format: str = "auto"
    options: dict[str, Any] = Field(default_factory=dict)
    sampling: dict[str, Any] = Field(default_factory=dict)
    # vLLM on other machines
    servers: list[Server] = Field(default_factory=list, max_length=256, validate_default=True)
    api_key_file: Path | None = None

    @field_validator("servers")
    @classmethod
    def _told_apart(cls, servers: list[str], given: ValidationInfo) -> list[str]:
        if given.data.get("kind") == "server" and not servers:
            raise ConfigError(
                "is empty, but engine.kind is server",
                hint='Say where they are: servers = ["http://gpu1:8000", "unix:/run/vllm.sock"].',
            )
        for server, times in Counter(servers).items():
            if times > 1:
                raise ConfigError(
                    f"names {server!r} twice",
                    hint="Name each server once; max_pages_in_flight says how many pages it gets.",
                )
        return servers


class WatchSettings(Section):
    """`[watch]`: when a file is complete, and how often the inboxes are scanned."""

    settle_s: Annotated[float, Field(ge=0, le=3600)] = 5.0
    max_wait_s: Annotated[float, Field(ge=1)] = 3600.0
    closed_s: Annotated[float, Field(ge=0, le=3600)] = 2.0
    rescan_s: Annotated[float, Field(ge=1, le=86400)] = 60.0
    max_file_mib: Annotated[int, Field(ge=1)] = 16_384


class LedgerSettings(Section):
    """`[ledger]`: where jobs are recorded, and for how long."""

    path: Path | None = None
    keep_done_days: Annotated[float, Field(ge=0)] = 0.0

    @field_validator("path")
    @classmethod
    def _a_file(cls, path: Path | None) -> Path | None:
        if path is not None and not path.name:
            raise ConfigError(
                f"{path} names no file", hint="Such as /var/lib/ocrd/ledger.db, on a local disk."
            )
        return path


class PagesSettings(Section):
    """`[pages]`: how files become page images, and limits against hostile files."""

    dpi: Annotated[int, Field(ge=0, le=1200)] = 0
    max_pixels: Annotated[int, Field(ge=1_000_000)] = 120_000_000
    max_pages: Annotated[int, Field(ge=1)] = 5000
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    memory_mib: Annotated[int, Field(ge=256)] = 2048
    timeout_s: Annotated[float, Field(gt=0)] = 60.0


class JobsSettings(Section):
    """`[jobs]`: how often and how soon a failed attempt is repeated."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 5
    retry_delay_s: Seconds = 30.0
    retry_max_s: Seconds = 3600.0
    max_running: Annotated[int, Field(ge=0)] = 0
    drain_s: Seconds = 30.0


class LogSettings(Section):
    """`[log]`: how much is logged, and in which format."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "plain", "json", "journal"] = "auto"


class MetricsSettings(Section):
    """`[metrics]`: Prometheus metrics on a loopback port, as a text file, or both."""

    port: Annotated[int, Field(ge=0, le=65535)] = 0
    textfile: Path | None = None


class NotifySettings(Section):
    """`[notify]`: how finished and failed jobs are announced."""

    on_done: Command | None = None
    on_failed: Command | None = None
    timeout_s: Annotated[float, Field(gt=0)] = 30.0
    webhook: Annotated[str, StringConstraints(pattern=r"^https?://")] | None = None
    mail_to: str | None = None
    digest_s: Seconds = 300.0


class WebSettings(Section):
    """`[web]`: where `ocrd web` listens, what it accepts, and how long it keeps it."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8484
    socket: Path | None = None
    hosts: list[str] = Field(default_factory=list)
    prefix: Annotated[str, StringConstraints(pattern=r"^(/[\w.~-]+)*$")] = ""
    folder: str = ""
    max_upload_mib: Annotated[int, Field(ge=1)] = 1024
    requests_per_minute: Annotated[int, Field(ge=0)] = 12_000
    keep_days: Annotated[float, Field(ge=0)] = 0.0
    user_header: str = ""
    user_role: Literal["submit", "read", "operate"] = "operate"


class ModeSettings(Section):
    """`[[mode]]`: a prompt mode defined by the operator."""

    name: Name
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=4000)]
    reader: AnswerFormat = AnswerFormat.PLAIN
    max_tokens: Annotated[int, Field(ge=1)] = 8192
    ngram: Annotated[int, Field(ge=0, le=1000)] = 30
    window: Annotated[int, Field(ge=0, le=10_000)] = 90

    def prompt_mode(self) -> PromptMode:
        """The prompt mode that the entry defines."""
        guard = Guard(ngram=self.ngram, window=self.window) if self.ngram and self.window else None
        return PromptMode(
            name=self.name,
            prompt=self.prompt,
            answers=self.reader,
            max_tokens=self.max_tokens,
            guard=guard,
        )
