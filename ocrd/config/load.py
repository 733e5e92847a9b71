"""Finds the configuration file, reads it, and turns every mistake into one clear error."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource
from pydantic_settings.exceptions import SettingsError

from ocrd.config.resolve import SPOOL, Folder, did_you_mean, folders, together
from ocrd.config.schema import Settings
from ocrd.errors import ConfigError

DEFAULT_FILE = Path("/etc/ocrd/config.toml")
HOOKED = "ocrd_event"  # is set for commands of `[notify]` only
OTHER_VARIABLES = ("config", "encoder", "engine_log", "test_all")  # that ocrd looks at as well
FACTS = ("ocrd_folder", "ocrd_pages")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A configuration in force.

    Attributes:
        file: Where it was read from.
        digest: SHA-256 of the file's bytes; tells whether the file has changed since.
        settings: The typed file, environment included.
        folders: Ready for use, implicit ones included.
        origins: Where each value came from, by dotted key: `file`, `environment` or `default`.
        unknown_variables: Names that look like overrides, and are none.
    """

    file: Path
    digest: str
    settings: Settings
    folders: tuple[Folder, ...]
    origins: Mapping[str, str]
    unknown_variables: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """The common parent of everything that gets moved."""
        return self.settings.root

    @property
    def spool(self) -> Path:
        """The daemon's own tree below the root."""
        return self.root / SPOOL

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.settings.ledger.path or self.spool / "ledger.db"

    def folder(self, name: str) -> Folder | None:
        """The folder of that name, if there is one."""
        return next((folder for folder in self.folders if folder.name == name), None)


def find(given: Path | None) -> Path:
    """The configuration file: `--config`, then `$OCRD_CONFIG`, then `/etc/ocrd/config.toml`."""
    if given is not None:
        return given
    return Path(os.environ.get("OCRD_CONFIG") or DEFAULT_FILE)


def load(given: Path | None = None) -> Config:
    """Read, check and resolve the configuration.

    Raises:
        ConfigError: It is missing, unreadable, malformed or contradicts itself; the message names
            the file and the key, the hint the remedy.
    """
    file = find(given).absolute()
    raw = _read(file)
    table = _parse(raw, file)
    settings = _validate(table, file)
    try:
        resolved = folders(settings)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error.message}", hint=error.hint) from None
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
        return file.read_bytes()
    except FileNotFoundError:
        hint = "Create it (`ocrd install` writes a first one), or name another with --config."
        raise ConfigError(f"{file}: there is no such file", hint=hint) from None
    except OSError as error:
        hint = "Make it a file that this user may read."
        raise ConfigError(f"{file}: cannot be read: {error.strerror}", hint=hint) from None


def _parse(raw: bytes, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file}: not UTF-8 at byte {error.start}", hint="Save the file as UTF-8."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{file}: not valid TOML: {error}", hint="Mend the syntax at the place named."
        ) from None


def _validate(table: Mapping[str, Any], file: Path) -> Settings:
    class FromFile(Settings):
        """Settings whose values come from this table unless the environment overrides them."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            if isinstance(env_settings, EnvSettingsSource):
                env_settings.env_vars = _without_facts(env_settings.env_vars)
            return env_settings, init_settings

    try:
        settings = FromFile(**table)
    except ValidationError as error:
        raise _config_error(error, table, file) from None
    except SettingsError as error:
        raise ConfigError(
            f"{file}: the environment: {error}",
            hint="A variable overrides one key, and names its table before it: OCRD_ENGINE__KIND.",
        ) from None
    if not settings.root.is_absolute():
        raise ConfigError(
            f"{file}: root: {str(settings.root)!r} is not an absolute path",
            hint='Write the whole path: root = "/srv/ocrd".',
        )
    return settings


def _without_facts(variables: Mapping[str, str | None]) -> dict[str, str | None]:
    """Without what a command of `[notify]` is told under the names of tables: it may call ocrd."""
    hooked = HOOKED in variables
    return {key: value for key, value in variables.items() if not (hooked and key in FACTS)}


def _config_error(error: ValidationError, table: Mapping[str, Any], file: Path) -> ConfigError:
    """Every fault; a mistyped key comes first: it is why another one is missing."""
    faults = error.errors(include_url=False)
    faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
    told = together(
        [
            ConfigError(f"{_key(fault['loc'], table)}: {_said(fault)}", hint=_remedy(fault))
            for fault in faults
        ]
    )
    return ConfigError(f"{file}: {told.message}", hint=told.hint)


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """Variables named like overrides whose table or key there is not."""
    known = {*Settings.model_fields, *OTHER_VARIABLES}
    for name in environment:
        prefix, _, key = name.upper().partition("_")
        hooked = HOOKED.upper() in environment
        if prefix == "OCRD" and not hooked and key.partition("__")[0].lower() not in known:
            yield name


def _key(location: tuple[int | str, ...], table: Mapping[str, Any]) -> str:
    """`folder[2].mode` with the entry's name, since people count from 1 and know names."""
    key = ""
    here: Any = table
    for part in location:
        if isinstance(part, int):
            here = here[part] if isinstance(here, list) and part < len(here) else None
            name = here.get("name") if isinstance(here, dict) else None
            key += f"[{part + 1}]" + (f" ({name!r})" if isinstance(name, str) else "")
        else:
            here = here.get(part) if isinstance(here, dict) else None
            key += f".{part}" if key else part
    return key


def _said(fault: ErrorDetails) -> str:
    match fault["type"]:
        case "extra_forbidden":
            return "unknown key"
        case "missing":
            return "missing"
        case "list_type" if isinstance(fault["input"], dict):
            return "this is a list of tables"
        case "model_type" if isinstance(fault["input"], list):
            return "there is only one such table"
        case _:
            return f"{fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}"


def _remedy(fault: ErrorDetails) -> str:
    match fault["type"]:
        case "extra_forbidden":
            return did_you_mean(str(fault["loc"][-1]), _keys_beside(fault["loc"]))
        case "missing" if fault["loc"] == ("root",):
            return 'Say where everything lies: root = "/srv/ocrd".'
        case "missing":
            return f"Add {fault['loc'][-1]} = …; config.example.toml explains it."
        case "list_type" if isinstance(fault["input"], dict):
            return f"Write [[{fault['loc'][0]}]] and not [{fault['loc'][0]}], once for each."
        case "model_type" if isinstance(fault["input"], list):
            return f"Write [{fault['loc'][0]}] and not [[{fault['loc'][0]}]], once."
        case _:
            return "Correct the value; config.example.toml lists what each key takes."


def _keys_beside(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the table around an unknown one does know."""
    model: type[BaseModel] = Settings
    for part in location[:-1]:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue
        inner = field.annotation
        args = getattr(inner, "__args__", ())
        model = args[0] if args else inner  # type: ignore[assignment]  # sections and lists of them
    return list(model.model_fields)


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
