"""Checks of the keys that decide when files are taken, and which belong together."""

from __future__ import annotations

import re
import string

from ocrd.config.schema import FolderSettings
from ocrd.errors import ConfigError

GROUPS = ("document", "page")
FIELDS = ("name", "stem")
EXAMPLE = r"""'(?P<document>.+)_(?P<page>\d+)\.jpg'"""
PAUSE_S = FolderSettings.model_fields["join_pause_s"].default
DOCUMENTS = (".pdf", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif")


def check_joining(entry: FolderSettings, where: str) -> None:
    """Refuse what could only be a mistake.

    Args:
        entry: A folder's settings.
        where: What errors call it.

    Raises:
        ConfigError: A key contradicts another one, or cannot be understood.
    """
    _check_join(entry, where)
    if entry.done_marker:
        _check_marker(entry.done_marker, f"{where}: done_marker")


def _check_join(entry: FolderSettings, where: str) -> None:
    if entry.join == "pattern":
        _check_pattern(entry.join_pattern, f"{where}: join_pattern")
    elif entry.join_pattern:
        raise ConfigError(
            f"{where}: join_pattern has no meaning for join = {entry.join!r}",
            hint='Set join = "pattern", or remove join_pattern.',
        )
    if entry.join == "none" and entry.join_pause_s != PAUSE_S:
        raise ConfigError(
            f"{where}: join_pause_s has no meaning for join = 'none'",
            hint='Set join = "pause" (or "pattern"), or remove join_pause_s.',
        )


def _check_pattern(pattern: str, key: str) -> None:
    if not pattern:
        raise ConfigError(
            f"{key}: missing, and join = 'pattern' needs it",
            hint=f"Say how the files of a document are named: join_pattern = {EXAMPLE}.",
        )
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ConfigError(
            f"{key}: {pattern!r} is no regular expression: {error}",
            hint=f"Mend it, and put it between single quotes: join_pattern = {EXAMPLE}.",
        ) from None
    for group in GROUPS:
        if group not in groups:
            raise ConfigError(
                f"{key}: {pattern!r} has no group named {group!r}",
                hint=f"Put (?P<{group}>…) around that part of the name: {EXAMPLE}.",
            )


def _check_marker(template: str, key: str) -> None:
    fields = _fields(template)
    if fields is None or not fields or not set(fields) <= set(FIELDS):
        raise ConfigError(
            f"{key}: {template!r} does not say of which file it is the marker",
            hint='Use {name} (scan.pdf) or {stem} (scan) and no other braces: "{name}.done".',
        )
    if "/" in template or "\0" in template:
        raise ConfigError(
            f"{key}: {template!r} is not the name of a file",
            hint='The marker lies beside its file: give a name without a slash, "{name}.done".',
        )
    if _is_document(template):
        raise ConfigError(
            f"{key}: {template!r} would take files for their own markers",
            hint='Add what documents do not have, such as an extension: "{name}.done".',
        )


def _fields(template: str) -> list[str] | None:
    """The names between braces; None where the braces are not in order."""
    if "{{" in template or "}}" in template:
        return None
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        return None
    if any(form or conversion for _, _, form, conversion in parts):
        return None
    return [field for _, field, _, _ in parts if field is not None]


def _is_document(template: str) -> bool:
    """Whether a file that is no marker could bear the marker's name."""
    literals = "".join(literal for literal, *_ in string.Formatter().parse(template))
    return not literals.strip() or template.lower().endswith(DOCUMENTS)
