"""Checks of the keys that say by names which files belong together, and when they are complete."""

from __future__ import annotations

import re
import string

from ocrd.errors import ConfigError

GROUPS = ("document", "page")
FIELDS = ("name", "stem")
EXAMPLE = r"""'(?P<document>.+)_(?P<page>\d+)\.jpg'"""
DOCUMENTS = (".pdf", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif")


def checked_pattern(pattern: str) -> str:
    """A folder's `join_pattern`.

    Raises:
        ConfigError: It does not tell a document and its page.
    """
    if not pattern:
        raise ConfigError(
            "missing, and join = 'pattern' needs it",
            hint=f"Say how the files of a document are named: join_pattern = {EXAMPLE}.",
        )
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise ConfigError(
            f"{pattern!r} is no regular expression: {error}",
            hint=f"Mend it, and put it between single quotes: join_pattern = {EXAMPLE}.",
        ) from None
    for group in GROUPS:
        if group not in groups:
            raise ConfigError(
                f"{pattern!r} has no group named {group!r}",
                hint=f"Put (?P<{group}>…) around that part of the name: {EXAMPLE}.",
            )
    return pattern


def checked_marker(template: str) -> str:
    """A folder's `done_marker`; empty for none.

    Raises:
        ConfigError: It does not tell whose marker it is, or could be a document.
    """
    if not template:
        return template
    fields = _fields(template)
    if fields is None or not fields or not set(fields) <= set(FIELDS):
        raise ConfigError(
            f"{template!r} does not say of which file it is the marker",
            hint='Use {name} (scan.pdf) or {stem} (scan) and no other braces: "{name}.done".',
        )
    if "/" in template or "\0" in template:
        raise ConfigError(
            f"{template!r} is not the name of a file",
            hint='The marker lies beside its file: give a name without a slash, "{name}.done".',
        )
    if _is_document(template):
        raise ConfigError(
            f"{template!r} would take files for their own markers",
            hint='Add what documents do not have, such as an extension: "{name}.done".',
        )
    return template


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
