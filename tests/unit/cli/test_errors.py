"""Every error has a remedy: read from the source of the whole package."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator

import pytest

from ocrd import errors
from tests.unit.cli.hints import MODULES, PACKAGE, Given, name_of, texts

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
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    ]
    while more := {name for name, bases in classes if bases & known} - known:
        known |= more
    return known


KEEPERS = own_errors() | {"JobError"}  # what the ledger keeps of an error
VARIABLES = {"blamed", "kind"}  # which hold a class of errors
MADE = [
    given for module in MODULES for given in module.given() if given.called in KEEPERS | VARIABLES
]


def calls_without() -> Iterator[str]:
    """Places where an error is made that is given no hint."""
    for module in MODULES:
        for node in ast.walk(module.tree):
            keywords = {each.arg for each in node.keywords} if isinstance(node, ast.Call) else set()
            if name_of(node) in KEEPERS and not {"hint", None} & keywords:  # None: **given
                yield f"{module.path.relative_to(PACKAGE)} {ast.unparse(node)}"


def test_the_search_finds_the_errors_of_the_package() -> None:
    found = {given.called for given in MADE}
    assert {"ConfigError", "UsageError", "PlaceError", "LedgerError", "BadFileError"} <= found
    assert len(MADE) > 100


def test_every_error_is_made_with_a_hint() -> None:
    assert list(calls_without()) == []


@pytest.mark.parametrize("given", MADE, ids=[f"{given.where} {given.called}" for given in MADE])
def test_whatever_becomes_of_a_hint_it_says_something(given: Given) -> None:
    said = list(texts(given.hint, given.function))
    assert said
    assert all(text is None or len(text.strip()) >= 8 for text in said), said


def test_what_doctor_finds_wrong_comes_with_a_hint() -> None:
    findings = [
        {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        for module in MODULES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and name_of(node) == "Finding"
    ]
    assert len(findings) > 15
    wrong = [each for each in findings if each["verdict"] != "Verdict.OK"]
    assert [each for each in wrong if "hint" not in each] == []


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
