"""What the operator writes, checked and made ready for use."""

from ocrd.config.load import Config, load
from ocrd.config.resolve import Folder
from ocrd.config.schema import Settings

__all__ = ["Config", "Folder", "Settings", "load"]
