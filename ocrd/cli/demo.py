"""`ocrd demo`: the whole way of a file, shown on sample scans with the embedded engine."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from ocrd.errors import UsageError

FOLDER = "scans"
MADE = "# Made by `ocrd demo`"
CONFIG = f"""\
{MADE}: the smallest useful configuration, with a short settle time.
root = {{root}}

[engine]
kind = "rapidocr"

[watch]
settle_s = 1

[[folder]]
name = "{FOLDER}"
mode = "document"
"""
SAMPLES = {
    "letter.jpg": "A letter",
    "two-columns.png": "Two columns",
    "table.tif": "A table",
    "photo.jpg": "A photo, turned by its EXIF tag",
    "chinese.jpg": "Chinese",
    "report.pdf": "Three pages",
}
SHOWN_LINES = 24


def demo(
    folder: Annotated[
        Path,
        typer.Argument(help="Where to make the demo's tree: new, empty, or an earlier demo's."),
    ] = Path("ocrd-demo"),
) -> None:
    """Make a small tree, drop sample scans, run once, show the results."""
    from ocrd.cli.run import serve
    from ocrd.config import load

    root = folder.absolute()
    config = prepare(root)
    code = serve(load(config), once=True)
    show(root)
    raise typer.Exit(code)


def prepare(root: Path) -> Path:
    """Create the tree with samples in its inbox, and return the path of its configuration.

    Raises:
        UsageError: The folder already holds something else.
    """
    config = root / "config.toml"
    again = config.is_file() and config.read_bytes().startswith(MADE.encode())
    if root.exists() and not again and any(root.iterdir()):
        hint = "Name a new folder: ocrd demo NEW."
        raise UsageError(f"{root} holds something else already", hint=hint)
    inbox = root / "inbox" / FOLDER
    inbox.mkdir(parents=True, exist_ok=True)
    if not again:  # changes made to it since are kept
        # A TOML basic string has JSON's escapes.
        config.write_text(CONFIG.format(root=json.dumps(str(root))), encoding="utf-8")
    typer.echo(f"Sample scans go into {inbox}:")
    for name, title in SAMPLES.items():
        scan = resources.files("ocrd").joinpath("samples", name).read_bytes()
        with contextlib.suppress(FileExistsError), (inbox / name).open("xb") as file:
            file.write(scan)
        typer.echo(f"  {name:<18} {title}")
    return config


def show(root: Path) -> None:
    """Print where the results are, and the beginning of one of them."""
    outbox = root / "outbox" / FOLDER
    for bundle in sorted(outbox.iterdir()):
        typer.echo(f"\n{bundle.relative_to(root)}/")
        for artefact in sorted(bundle.rglob("*")):
            if artefact.is_file():
                size = artefact.stat().st_size
                typer.echo(f"  {artefact.relative_to(bundle)!s:<28} {size:>9,} bytes")
    newest = sorted(outbox.glob("letter*/*.md"), key=lambda path: path.stat().st_mtime)
    if newest:
        typer.echo(f"\n{newest[-1].relative_to(root)} begins:\n")
        for line in newest[-1].read_text(encoding="utf-8").splitlines()[:SHOWN_LINES]:
            typer.echo(f"  {line}")
    config, ocrd = shlex.quote(str(root / "config.toml")), _program()
    typer.echo(
        f"\nOriginals: {root / 'archive' / FOLDER}\n"
        f"Ask what happened:  {ocrd} jobs --config {config}\n"
        f"Keep it running:    {ocrd} run --config {config}"
    )


def _program() -> str:
    """How to call this program from here: `ocrd` if the shell finds it by that name."""
    called = Path(sys.argv[0]).resolve()
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m ocrd"
    found = shutil.which("ocrd")
    return "ocrd" if found and Path(found).resolve() == called else shlex.quote(str(called))
