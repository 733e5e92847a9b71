"""Taking a new configuration while running, or refusing it."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

from ocrd.config import Config, load
from ocrd.config.resolve import folders
from ocrd.daemon.engines import check_modes
from ocrd.engine.base import Engine
from ocrd.errors import ConfigError

FIXED = (  # what is read once, at the start
    "root",
    "engine",
    "watch.rescan_s",
    "watch.closed_s",
    "watch.max_file_mib",
    "ledger",
    "pages",
    "jobs",
    "log",
    "metrics",
    "notify",
)


def reloaded(config: Config, engine: Engine, *, fresh_file: bool) -> Config:
    """The configuration to go on with.

    Args:
        config: The one in force.
        engine: Must be able to serve the new one.
        fresh_file: Read the file anew; else only look for new and vanished implicit folders.

    Raises:
        ConfigError: The new one is wrong, or changes what only a restart can change.
    """
    if not fresh_file:
        return replace(config, folders=folders(config.settings))
    new = load(config.file)
    for key in FIXED:
        if attrgetter(key)(new.settings) != attrgetter(key)(config.settings):
            raise ConfigError(
                f"{config.file}: {key}: cannot be changed while running",
                hint="Restart instead: systemctl restart ocrd.",
            )
    check_modes(new, engine)
    return new
