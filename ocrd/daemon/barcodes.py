"""The library that reads barcodes: an extra, for folders whose piles barcodes separate."""

from __future__ import annotations

from importlib.util import find_spec

from ocrd.config import Config
from ocrd.errors import ConfigError

LIBRARY = "zxingcpp"


def preload() -> tuple[str, ...]:
    """What page workers load before they are confined: nothing if the library is not there."""
    return ("zxingcpp",) if installed() else ()


def check(config: Config, *, library: str = LIBRARY) -> None:
    """Refuse folders that wait for barcodes which nobody could read.

    Args:
        config: What is to be served.
        library: What would read them.

    Raises:
        ConfigError: The library is not installed.
    """
    waiting = [folder.name for folder in config.folders if folder.separator == "barcode"]
    if waiting and not installed(library):
        raise ConfigError(
            f'{config.file}: folder {waiting[0]!r}: separator = "barcode" needs zxing-cpp, which '
            "is not installed",
            hint="pip install 'ocrd-daemon[barcode]' in the environment that ocrd runs in.",
        )


def installed(library: str = LIBRARY) -> bool:
    """Whether barcodes can be read."""
    return find_spec(library) is not None
