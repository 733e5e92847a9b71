"""`ocrd`: where every command begins, and how errors are reported."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ocrd.errors import ExitCode, OcrdError

STDOUT, STDERR = 1, 2
FRAMES = 3  # shown for a bug in ocrd, the innermost first


def main() -> None:
    """Run a command; an error goes to stderr with its remedy, and decides the exit code."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):  # any file name can be printed
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = _run(sys.argv[1:])
    except OcrdError as error:
        code = _tell(error.message, error.hint, error.exit_code)
    except BrokenPipeError:  # `ocrd jobs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.OK
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except OSError as error:
        code = _tell(*_of_the_system(error), ExitCode.FAILED)
    except Exception as error:
        code = _tell(*_of_ours(error), ExitCode.FAILED)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Open /dev/null for streams that the caller closed (`>&-`): a file would get their number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(STDOUT, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(STDERR, "w", encoding="utf-8", closefd=False)


def _tell(message: str, hint: str, code: ExitCode) -> ExitCode:
    lines = f"ocrd: {message}\n  {hint}\n"
    sys.stderr.write(lines.encode(errors="backslashreplace").decode())
    return code


def _of_the_system(error: OSError) -> tuple[str, str]:
    """Message and hint for an error of the operating system."""
    from ocrd.files import display
    from ocrd.oserrors import os_error
    from ocrd.owners import how_to_be_let_in

    named = error.filename if isinstance(error.filename, (str, bytes)) else None
    if named is not None and isinstance(error, PermissionError):
        place = Path(os.fsdecode(named))
        return f"{display(place)}: {error.strerror}", how_to_be_let_in(place)
    told = os_error(error, Path("the system"))
    return told.message, told.hint


def _of_ours(error: Exception) -> tuple[str, str]:
    """Message and hint for a bug in ocrd: one line that says where, for those who fix it."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[: -FRAMES - 1 : -1]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
    return (
        f"{type(error).__name__}: {error} ({places})",
        "This is a fault of ocrd itself: please report it, with this line.",
    )


def _run(words: Sequence[str]) -> int:
    """Run a command; `ocrd status` without building the command line, which would take longer."""
    rest = [word for word in words[1:] if word != "--json"]
    named = rest[:1] in (["--config"], ["-c"]) and len(rest) == 2
    if words[:1] == ["status"] and (named or not rest):
        from ocrd.cli.status import tell

        config = Path(rest[1]) if named and rest[1] else None
        return tell(config, as_json="--json" in words)
    from ocrd.cli import app

    app.run(words)
    return ExitCode.OK
