"""`ocrd`: where every command begins, and how errors are told."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ocrd.errors import ExitCode, OcrdError


def main() -> None:
    """Run a command; an error goes to stderr with its remedy, and decides the exit code."""
    try:
        _run(sys.argv[1:])
    except OcrdError as error:
        print(f"ocrd: {error.message}\n  {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `ocrd jobs | head`
        sys.stderr.close()
        sys.exit(ExitCode.OK)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


def _run(words: Sequence[str]) -> None:
    """Building the command line takes longer than `ocrd status` itself, which goes without."""
    match words:
        case ["status"]:
            _status(None, as_json=False)
        case ["status", "--json"]:
            _status(None, as_json=True)
        case ["status", "--config" | "-c", config]:
            _status(config, as_json=False)
        case ["status", "--json", "--config" | "-c", config]:
            _status(config, as_json=True)
        case _:
            from ocrd.cli import app

            app.run(words)


def _status(config: str | None, *, as_json: bool) -> None:
    from ocrd.cli.status import tell

    tell(Path(config) if config else None, as_json=as_json)
