"""`output_name`: what results are called and where below the outbox they go.  Pure.

    {stem}      the scan's name without its extension
    {date}      when the scan was recorded; {date:%Y-%m}, {time:%H%M} as in strftime(3)
    {folder}    the folder's name
    {job}       the job's number; {job:06} with leading zeros
    {counter}   counts the folder's documents; {counter:04} likewise

A slash makes folders.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ocrd.errors import ConfigError

FIELDS = ("stem", "date", "time", "folder", "job", "counter")
_USUAL = {"date": "%Y-%m-%d", "time": "%H%M%S"}
_WIDTH = re.compile(r"(0?[1-9][0-9]?)?d?")
_MOMENT = re.compile(r"(?:[^%]|%[aAbBdFGHIjmMpSuUVwWyY%])+")


@dataclass(frozen=True, kw_only=True, slots=True)
class NameFacts:
    """What a name may tell of a document.

    Attributes:
        stem: The scan's name without its extension.
        recorded: When the job was recorded: the same on every attempt.
        folder: The folder's name.
        job: The job's number.
        counter: The document's number in its folder; 0 for a template that does not ask.
    """

    stem: str
    recorded: datetime
    folder: str
    job: int
    counter: int = 0


class _Piece(NamedTuple):
    text: str
    field: str
    form: str


def checked_output_name(template: str) -> str:
    """A folder's `output_name`.

    Raises:
        ConfigError: It makes no name; the message says why.
    """
    try:
        facts = NameFacts(stem="scan", recorded=datetime(2026, 1, 2), folder="f", job=1)
        fault = _misplaced(expand(template, facts))
    except ValueError as error:
        fault = str(error)
    if fault:
        raise ConfigError(
            f"{template!r}: {fault}",
            hint=f"Known are {', '.join(f'{{{field}}}' for field in FIELDS)}; such as "
            'output_name = "{date:%Y/%m}/{counter:04} {stem}".',
        )
    return template


def asks_for_counter(template: str) -> bool:
    """Whether the template needs a number of its own for each document."""
    return any(piece.field == "counter" for piece in _pieces(template))


def expand(template: str, facts: NameFacts) -> str:
    """The template filled in: a path below the outbox, its parts not yet made safe.

    Raises:
        ValueError: The template is none.
    """
    return "".join(piece.text + _filled(piece, facts) for piece in _pieces(template))


def _pieces(template: str) -> Iterator[_Piece]:
    for text, field, form, conversion in string.Formatter().parse(template):
        if field is not None and field not in FIELDS:
            raise ValueError(f"{{{field}}} is unknown")
        if conversion:
            raise ValueError(f"!{conversion} has no meaning here")
        yield _Piece(text, field or "", form or "")


def _filled(piece: _Piece, facts: NameFacts) -> str:
    match piece.field:
        case "":
            return ""
        case "date" | "time":
            return _moment(piece, facts.recorded)
        case "job" | "counter":
            return _number(piece, getattr(facts, piece.field))
    if piece.form:
        raise ValueError(f"{{{piece.field}}} takes no format, not {piece.form!r}")
    # No slash in them, and none that a folder of that name could not hold.
    return str(getattr(facts, piece.field))


def _moment(piece: _Piece, when: datetime) -> str:
    form = piece.form or _USUAL[piece.field]
    if not _MOMENT.fullmatch(form):
        raise ValueError(f"{form!r} is no format of a date")
    return when.strftime(form)


def _number(piece: _Piece, number: int) -> str:
    if not _WIDTH.fullmatch(piece.form):
        raise ValueError(f"{piece.form!r} is no format of a number; {{{piece.field}:04}} is one")
    return format(number, piece.form)


def _misplaced(path: str) -> str:
    """What keeps a path from lying below the outbox; empty when nothing does."""
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
