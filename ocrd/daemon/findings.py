"""What a check of `ocrd doctor` says."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ocrd.config import Config


class Verdict(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"  # it works, but not as well as it could
    PROBLEM = "problem"  # jobs will wait or fail


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        check: What was looked at.
        verdict: How it came out.
        found: In words.
        hint: What to do; empty when nothing.
    """

    check: str
    verdict: Verdict
    found: str
    hint: str = ""


Check = Callable[[Config], Iterator[Finding]]
