"""Values of events as one harmless line each, escaped once."""

from __future__ import annotations

from ocrd.files import display


def one_line(value: object) -> str:
    r"""The value in printable characters only.

    What is printable already stays as it is: names in events were escaped where they were emitted,
    and escaping them again would double each backslash.
    """
    text = str(value)
    return text if text.isprintable() else display(text)
