"""Every error has a remedy: read from the source of the whole package."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import ocrd
from ocrd import errors

PACKAGE = Path(ocrd.__file__).parent
NAMES = {
    name
    for name, each in inspect.getmembers(errors, inspect.isclass)
    if issubclass(each, errors.OcrdError)
}


def own_errors() -> set[str]:
    """Errors of the core, and every class in the package that derives from one, at any depth."""
    known = set(NAMES)
    classes = [
        (node.name, {base.id for base in node.bases if isinstance(base, ast.Name)})
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    while more := {name for name, bases in classes if bases & known} - known:
        known |= more
    return known


def made() -> Iterator[tuple[str, ast.Call]]:
    """Each place where an error is made: `file:line class`, and the call."""
    known = own_errors()
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and called(node) in known:
                yield f"{file.relative_to(PACKAGE)}:{node.lineno} {called(node)}", node


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


MADE = list(made())


def test_the_search_finds_the_errors_of_the_package() -> None:
    found = {where.split()[1] for where, _ in MADE}
    assert {"ConfigError", "UsageError", "PlaceError", "LedgerError", "BadFileError"} <= found
    assert len(MADE) > 50


@pytest.mark.parametrize(("where", "call"), MADE, ids=[where for where, _ in MADE])
def test_every_error_is_made_with_a_hint(where: str, call: ast.Call) -> None:
    hints = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
    assert len(hints) == 1, f"{where} has no hint"
    match hints[0]:
        case ast.Constant(value=text):
            assert isinstance(text, str) and len(text.strip()) >= 8, f"{where}: {text!r}"


def test_an_error_without_a_hint_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        errors.BadFileError("damaged")  # type: ignore[call-arg]  # that is the point


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_error_class_has_a_word_an_exit_code_and_a_disposition(name: str) -> None:
    each = getattr(errors, name)
    assert each.kind == each.kind.lower() and " " not in each.kind
    assert isinstance(each.exit_code, errors.ExitCode)
    assert isinstance(each.disposition, errors.Disposition)
    assert each.__doc__
