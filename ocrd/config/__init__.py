"""The operator's configuration, validated and resolved."""

from ocrd.config.folder import Folder, fixed_part
from ocrd.config.load import Config, load
from ocrd.config.settings import Settings, folders

__all__ = ["Config", "Folder", "Settings", "fixed_part", "folders", "load"]
