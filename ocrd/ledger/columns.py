"""How Python's values are kept in SQLite's columns, without loss."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

from sqlalchemy import LargeBinary, Text
from sqlalchemy.types import TypeDecorator

from ocrd.job import Member


class PathBytes(TypeDecorator[str]):
    """A path as the bytes that the kernel knows it by: names need not be text."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        """To the column."""
        return None if value is None else os.fsencode(value)

    def process_result_value(self, value: bytes | None, dialect: Any) -> str | None:
        """From the column."""
        return None if value is None else os.fsdecode(value)


class HexDigest(TypeDecorator[str]):
    """A digest in hex, kept as its bytes: half the size, in the table and in its index."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        """To the column."""
        return None if value is None else bytes.fromhex(value)

    def process_result_value(self, value: bytes | None, dialect: Any) -> str | None:
        """From the column."""
        return None if value is None else value.hex()


class Digits(TypeDecorator[int]):
    """A whole number of any size: inodes reach 2**64 - 1, and a forged mtime 2**63 ns and more."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Any) -> str | None:
        """To the column."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Any) -> int | None:
        """From the column."""
        return None if value is None else int(value)


class Members(TypeDecorator[tuple[Member, ...]]):
    """The files of a joined document as a JSON array; NULL for none.

    JSON's escapes hold what a name that is not text holds: each lone surrogate is one.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[Member, ...] | None, dialect: Any) -> str | None:
        """To the column."""
        return json.dumps([asdict(member) for member in value]) if value else None

    def process_result_value(self, value: str | None, dialect: Any) -> tuple[Member, ...]:
        """From the column."""
        return () if value is None else tuple(Member(**each) for each in json.loads(value))


class SafeText(TypeDecorator[str]):
    """Text for people; what UTF-8 cannot hold (surrogates of a broken name) is escaped."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """To the column."""
        return None if value is None else value.encode("utf-8", "backslashreplace").decode()
