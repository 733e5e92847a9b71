"""The keys that make or parse names: `output_name`, `done_marker`, `join_pattern`.  Pure.

`output_name` names the results and their folder below the outbox.  Its fields are:

    {stem}      the scan's name without its extension
    {date}      when the scan was recorded; {date:%Y-%m}, {time:%H%M} as in strftime(3)
    {folder}    the folder's name
    {job}       the job's number; {job:06} with leading zeros
    {counter}   counts the folder's documents; {counter:04} with leading zeros

A slash separates folders.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from datetime import datetime

from ocrd.errors import ConfigError

OF_RESULTS = ("stem", "date", "time", "folder", "job", "counter")
OF_MARKERS = re.compile(r"\{(name|stem)\}")  # a file's whole name, or without its extension
GROUPS = ("document", "page")
EXAMPLE = r"""'(?P<document>.+)_(?P<page>\d+)\.jpg'"""
DOCUMENTS = (".pdf", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif")
_USUAL = {"date": "%Y-%m-%d", "time": "%H%M%S"}
_WIDTH = re.compile(r"(0?[1-9][0-9]?)?d?")
_MOMENT = re.compile(r"(?:[^%]|%[aAbBdFGHIjmMpSuUVwWyY%])+")


def checked_output_name(template: str) -> str:
    """A folder's `output_name`, validated.

    Raises:
        ConfigError: It makes no usable name; the message says why.
    """
    try:
        moment = datetime(2026, 1, 2)
        fault = _misplaced(expand(template, stem="scan", recorded=moment, folder="f", job=1))
    except ValueError as error:
        fault = str(error)
    if fault:
        raise ConfigError(
            f"{template!r}: {fault}",
            hint=f"Known are {', '.join(f'{{{field}}}' for field in OF_RESULTS)}; such as "
            'output_name = "{date:%Y/%m}/{counter:04} {stem}".',
        )
    return template


def checked_pattern(pattern: str) -> str:
    """A folder's `join_pattern`, validated.

    Raises:
        ConfigError: It is missing, not a regular expression, or lacks the group `document` or
            `page`.
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
    """A folder's `done_marker`, validated; empty for none.

    Raises:
        ConfigError: It does not say which file it marks, is not a file name, or could match
            documents.
    """
    if not template:
        return template
    own = "".join(OF_MARKERS.split(template)[::2])  # the template without its fields
    if own == template or "{" in own or "}" in own:
        raise ConfigError(
            f"{template!r} does not say of which file it is the marker",
            hint='Use {name} (scan.pdf) or {stem} (scan) and no other braces: "{name}.done".',
        )
    if "/" in template or "\0" in template:
        raise ConfigError(
            f"{template!r} is not the name of a file",
            hint='The marker lies beside its file: give a name without a slash, "{name}.done".',
        )
    if not own.strip() or template.lower().endswith(DOCUMENTS):
        raise ConfigError(
            f"{template!r} would take files for their own markers",
            hint='Add what documents do not have, such as an extension: "{name}.done".',
        )
    return template


def asks_for_counter(template: str) -> bool:
    """Whether an `output_name` uses the folder's counter."""
    return any(field == "counter" for _, field, _ in _pieces(template))


def expand(
    template: str, *, stem: str, recorded: datetime, folder: str, job: int, counter: int = 0
) -> str:
    """An `output_name` filled in: a path below the outbox whose parts are not made safe yet.

    Args:
        template: The folder's `output_name`.
        stem: The scan's name without its extension.
        recorded: When the job was recorded: the same on every attempt.
        folder: The folder's name.
        job: The job's number.
        counter: The document's number in its folder; 0 if the template does not use it.

    Raises:
        ValueError: The template is not valid.
    """
    told: dict[str, str | int | datetime] = {"stem": stem, "folder": folder}
    told |= {"date": recorded, "time": recorded, "job": job, "counter": counter}
    return "".join(
        text + (_filled(field, form, told[field]) if field else "")
        for text, field, form in _pieces(template)
    )


def _pieces(template: str) -> Iterator[tuple[str, str, str]]:
    """The template's literal texts, each with the field that follows it, if any, and its format."""
    for text, field, form, conversion in string.Formatter().parse(template):
        if field is not None and field not in OF_RESULTS:
            raise ValueError(f"{{{field}}} is unknown")
        if conversion:
            raise ValueError(f"!{conversion} has no meaning here")
        yield text, field or "", form or ""


def _filled(field: str, form: str, value: str | int | datetime) -> str:
    if isinstance(value, datetime):
        form = form or _USUAL[field]
        if not _MOMENT.fullmatch(form):
            raise ValueError(f"{form!r} is no format of a date")
        return value.strftime(form)
    if isinstance(value, int):
        if not _WIDTH.fullmatch(form):
            raise ValueError(f"{form!r} is no format of a number; {{{field}:04}} is one")
        return format(value, form)
    if form:
        raise ValueError(f"{{{field}}} takes no format, not {form!r}")
    return value  # from a file name: no slash in it


def _misplaced(path: str) -> str:
    """Why a path cannot lie below the outbox; empty if it can."""
    parts = path.split("/")
    if path.startswith("/"):
        return "it must not be absolute"
    if not parts[-1].strip():
        return "there must be a name at its end"
    if any(not part.strip() for part in parts):
        return "a folder in it has no name"
    if any(part.strip().startswith(".") for part in parts):
        return "no part may begin with a dot"
    if not path.isprintable():
        return "it holds a character that cannot be printed"
    return ""
