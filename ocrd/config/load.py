"""Finds and reads the configuration file, and reports every mistake in one clear error."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings.exceptions import SettingsError

from ocrd import configfile
from ocrd.config.faults import told
from ocrd.config.folder import Folder
from ocrd.config.settings import HOOKED, SPOOL, Settings, folders
from ocrd.errors import ConfigError

OTHER_VARIABLES = ("config", "engine_log", "test_all")  # `OCRD_…` variables that override no key


@dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration in force.

    Attributes:
        file: The file that was read.
        digest: SHA-256 of the file's bytes, to detect later changes.
        settings: The typed file, environment included.
        folders: Ready for use, implicit ones included.
        origins: The origin of each value by dotted key: `file`, `environment` or `default`.
        unknown_variables: Environment variables that look like overrides but match no key.
    """

    file: Path
    digest: str
    settings: Settings
    folders: tuple[Folder, ...]
    origins: Mapping[str, str]
    unknown_variables: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """The common parent of all files that are moved."""
        return self.settings.root

    @property
    def spool(self) -> Path:
        """The daemon's own tree below the root."""
        return self.root / SPOOL

    @property
    def ledger(self) -> Path:
        """The path of the ledger's file."""
        return self.settings.ledger.path or self.spool / "ledger.db"

    def folder(self, name: str) -> Folder | None:
        """The folder of that name, if it exists."""
        return next((folder for folder in self.folders if folder.name == name), None)


def load(given: Path | None = None) -> Config:
    """Read, check and resolve the configuration.

    Raises:
        ConfigError: It is missing, unreadable, malformed or contradictory; the message names the
            file and the key, the hint the remedy.
    """
    file = configfile.find(given).absolute()
    raw = _read(file)
    table = _parse(raw, file)
    try:
        settings = Settings(**table)
        resolved = folders(settings)
    except ValidationError as error:
        raise _in(file, told(error, Settings, table)) from None
    except ConfigError as error:
        raise _in(file, error) from None
    except SettingsError as error:
        raise ConfigError(
            f"{file}: the environment: {error}",
            hint="A variable overrides one key, and names its table before it: OCRD_ENGINE__KIND.",
        ) from None
    return Config(
        file=file,
        digest=hashlib.sha256(raw).hexdigest(),
        settings=settings,
        folders=resolved,
        origins=dict(_origins(settings, table)),
        unknown_variables=tuple(_unknown_variables(os.environ)),
    )


def _read(file: Path) -> bytes:
    try:
        return configfile.read(file)
    except FileNotFoundError:
        hint = "Create it (`ocrd install` writes a first one), or name another with --config."
        raise ConfigError(f"{file}: there is no such file", hint=hint) from None
    except OSError as error:
        hint = "Make it a file that this user may read."
        raise ConfigError(f"{file}: cannot be read: {error.strerror}", hint=hint) from None


def _parse(raw: bytes, file: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file}: not UTF-8 at byte {error.start}", hint="Save the file as UTF-8."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{file}: not valid TOML: {error}", hint="Mend the syntax at the place named."
        ) from None
    if (key := next(_with_nul(table), None)) is not None:
        raise ConfigError(
            f"{file}: {key}: a NUL character, which no path and no command can hold",
            hint=r"Take \u0000 out.",
        )
    return table


def _with_nul(value: Any, key: str = "") -> Iterator[str]:
    """The dotted keys of strings that contain a NUL."""
    if isinstance(value, str) and "\0" in value:
        yield key
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _with_nul(inner, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from _with_nul(inner, key)


def _in(file: Path, error: ConfigError) -> ConfigError:
    return ConfigError(f"{file}: {error.message}", hint=error.hint)


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Variables named like overrides of a table or key that does not exist."""
    known = {*Settings.model_fields, *OTHER_VARIABLES}
    for name in environment:
        prefix, _, key = name.upper().partition("_")
        hooked = HOOKED.upper() in environment
        if prefix == "OCRD" and not hooked and key.partition("__")[0].lower() not in known:
            yield name


def _origins(settings: Settings, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, _value in leaves(settings):
        name = "OCRD_" + key.replace(".", "__").upper()
        if name in {variable.upper() for variable in os.environ}:
            yield key, "environment"
        else:
            yield key, "file" if _holds(table, key.split(".")) else "default"


def leaves(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Every value by its dotted key; entries of `[[folder]]` and `[[mode]]` by their names."""
    for section, value in settings.model_dump(mode="json").items():
        if isinstance(value, dict):
            yield from ((f"{section}.{key}", inner) for key, inner in value.items())
        elif section in ("folder", "mode"):
            for entry in value:
                yield from ((f"{section}.{entry['name']}.{key}", v) for key, v in entry.items())
        else:
            yield section, value


def _holds(table: Any, parts: list[str]) -> bool:
    if not parts:
        return True
    if isinstance(table, list):
        name, *rest = parts
        return any(entry.get("name") == name and _holds(entry, rest) for entry in table)
    return isinstance(table, dict) and parts[0] in table and _holds(table[parts[0]], parts[1:])
