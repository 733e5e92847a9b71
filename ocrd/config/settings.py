"""The whole configuration file, and the folders that result from it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ocrd.config.folder import Folder, FolderContext, ImplicitFolder
from ocrd.config.schema import (
    EngineSettings,
    JobsSettings,
    LedgerSettings,
    LogSettings,
    MetricsSettings,
    ModeSettings,
    NotifySettings,
    PagesSettings,
    WatchSettings,
    WebSettings,
)
from ocrd.errors import ConfigError
from ocrd.modes import BUILT_IN_MODES

SPOOL = ".ocrd"  # the spool's name below the root
HOOKED = "ocrd_event"  # an environment variable set only for commands of `[notify]`
FACTS = ("ocrd_folder", "ocrd_pages")  # their variables that are named like tables


def _absolute(root: Path) -> Path:
    if not root.is_absolute():
        raise ConfigError(
            f"{str(root)!r} is not an absolute path",
            hint='Write the whole path: root = "/srv/ocrd".',
        )
    return root


class Settings(BaseSettings):
    """The whole file.  `OCRD_…` environment variables override it (`OCRD_ENGINE__KIND`)."""

    model_config = SettingsConfigDict(
        env_prefix="OCRD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    root: Annotated[Path, AfterValidator(_absolute)]
    engine: EngineSettings = EngineSettings()
    watch: WatchSettings = WatchSettings()
    ledger: LedgerSettings = LedgerSettings()
    pages: PagesSettings = PagesSettings()
    jobs: JobsSettings = JobsSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    notify: NotifySettings = NotifySettings()
    web: WebSettings = WebSettings()
    mode: list[ModeSettings] = Field(default_factory=list)
    folder: list[Folder] = Field(default_factory=list)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment override the file, whose tables are the arguments of this class."""
        if isinstance(env_settings, EnvSettingsSource):
            given = env_settings.env_vars  # a command of `[notify]` may call ocrd
            told = FACTS if HOOKED in given else ()
            env_settings.env_vars = {key: given[key] for key in given if key not in told}
        return env_settings, init_settings

    @field_validator("mode")
    @classmethod
    def _modes_differ(cls, modes: list[ModeSettings]) -> list[ModeSettings]:
        for name in _twice([*BUILT_IN_MODES, *(mode.name for mode in modes)]):
            raise ConfigError(
                f"{name!r} is defined already", hint="Give this [[mode]] a name of its own."
            )
        return modes

    @field_validator("folder", mode="before")
    @classmethod
    def _in_force(cls, entries: Any, given: ValidationInfo) -> Any:
        return FolderContext.of(given.data).folders(entries)

    @field_validator("folder")
    @classmethod
    def _folders_differ(cls, folders: list[Folder]) -> list[Folder]:
        for name in _twice(folder.name for folder in folders):
            raise ConfigError(f"{name!r} is defined twice", hint="Remove or rename one of them.")
        return folders


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def folders(settings: Settings) -> tuple[Folder, ...]:
    """The configured folders, and the implicit ones that exist below `inbox/` now.

    Raises:
        ConfigError: Trees overlap.
    """
    context = FolderContext.of(dict(settings))
    resolution = context.default_resolution()
    implicit = (
        ImplicitFolder.model_validate(
            {"name": name, "mode": name, "resolution": resolution}, context=context
        )
        for name in _implicit_names(context, settings.folder)
    )
    named = (*settings.folder, *implicit)
    keep_apart(settings.root, named)
    return named


def _implicit_names(context: FolderContext, known: Iterable[Folder]) -> list[str]:
    """The modes with a directory below `inbox/` that no configured folder has as name or inbox.

    A mode that needs a target cannot be implicit.
    """
    taken = {os.path.realpath(folder.inbox) for folder in known} | {f.name for f in known}
    top = context.root / "inbox"
    return [
        name
        for name, mode in context.modes.items()
        if name not in taken
        and os.path.realpath(top / name) not in taken
        and os.path.isdir(top / name)  # noqa: PTH112 - Path.is_dir raises without permission to look
        and not mode.needs_target
    ]


def keep_apart(root: Path, named: Iterable[Folder]) -> None:
    """Refuse trees that contain each other: results would be taken for scans.

    Only trees of the same kind other than inboxes may be identical (two folders, one outbox).

    Raises:
        ConfigError: Two trees overlap.
    """
    trees = [
        (f"folder {folder.name!r}: {kind}", kind, Path(os.path.realpath(path)))
        for folder in named
        for kind, path in folder.trees()
    ]
    trees.append(("the spool", "spool", Path(os.path.realpath(root / SPOOL))))
    for (one, kind, path), (other, other_kind, other_path) in combinations(trees, 2):
        if path == other_path and kind == other_kind != "inbox":
            continue
        if path.is_relative_to(other_path) or other_path.is_relative_to(path):
            raise ConfigError(
                f"{one} ({path}) and {other} ({other_path}) overlap",
                hint="Give each a directory of its own; none may lie inside another.",
            )
