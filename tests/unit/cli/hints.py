"""What the remedies of the package can say, read from its source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import ocrd

PACKAGE = Path(ocrd.__file__).parent
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Given:
    """A call somewhere in the package that is given a `hint=`."""

    where: str
    called: str
    hint: ast.expr
    function: Function | None


@dataclass
class Module:
    """A module of the package."""

    path: Path
    tree: ast.Module = field(init=False)

    def __post_init__(self) -> None:
        self.tree = ast.parse(self.path.read_text(encoding="utf-8"))

    @cached_property
    def functions(self) -> list[Function]:
        """Every function and method, those inside of others last."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    def given(self) -> Iterator[Given]:
        """Its calls with a hint."""
        owner = {id(inner): f for f in self.functions for inner in ast.walk(f)}
        for node in ast.walk(self.tree):
            for keyword in node.keywords if isinstance(node, ast.Call) else ():
                if keyword.arg == "hint":
                    where = f"{self.path.relative_to(PACKAGE)}:{keyword.value.lineno}"
                    function = owner.get(id(node))
                    yield Given(where, name_of(node), keyword.value, function)


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
CONSTANTS = {
    target.id: node.value
    for module in MODULES
    for node in module.tree.body
    if isinstance(node, ast.Assign)
    for target in node.targets
    if isinstance(target, ast.Name)
}
FUNCTIONS: dict[str, list[Function]] = {}
for _module in MODULES:
    for _function in _module.functions:
        FUNCTIONS.setdefault(_function.name, []).append(_function)
Via = tuple[str, ...]  # the functions that have been looked into already


def name_of(call: ast.AST) -> str:
    """`f` of `f(...)` and of `a.f(...)`."""
    match call:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return ""


def texts(  # noqa: C901 - a case for each form of an expression
    node: ast.expr, function: Function | None, via: Via = ()
) -> Iterator[str | None]:
    """The fixed words of each text that an expression may become; None for one handed on.

    Raises:
        ValueError, KeyError: That cannot be told from the source.
    """
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.Constant(value=None):
            yield None  # nothing is wrong: then no error is made
        case ast.JoinedStr(values=parts):
            said = (part.value for part in parts if isinstance(part, ast.Constant))
            yield "".join(map(str, said))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            for one in texts(left, function, via):
                for other in texts(right, function, via):
                    yield f"{one or ''}{other or ''}"
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body, function, via)
            yield from texts(orelse, function, via)
        case ast.Attribute(attr="hint" | "error_hint"):
            yield None  # another error's, which has one itself
        case ast.Name(id=name) | ast.Attribute(attr=name):
            yield from _named(name, function, via)
        case ast.Subscript(value=ast.Name(id=name)):
            table = CONSTANTS[name]
            assert isinstance(table, ast.Dict)
            for value in table.values:
                yield from texts(value, function, via)
        case ast.Call() if name_of(node) not in via:
            name = name_of(node)
            for called in FUNCTIONS[name]:
                for returned in (each for each in ast.walk(called) if isinstance(each, ast.Return)):
                    if returned.value is not None:
                        yield from texts(returned.value, called, (*via, name))
        case ast.Call():
            yield None  # it calls itself
        case _:
            raise ValueError(ast.unparse(node))


def _named(name: str, function: Function | None, via: Via) -> Iterator[str | None]:
    """What a name may stand for: what the function assigns, a parameter, a constant."""
    values = [each for each in ast.walk(function) if _assigns(each, name)] if function else []
    for each in values:
        assert isinstance(each, ast.Assign | ast.NamedExpr)
        yield from texts(each.value, function, via)
    if values:
        return
    arguments = [*function.args.args, *function.args.kwonlyargs] if function else []
    if name in {argument.arg for argument in arguments}:
        yield None
    else:
        yield from texts(CONSTANTS[name], None, via)


def _assigns(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=target)]) | ast.NamedExpr(target=ast.Name(id=target)):
            return target == name
    return False
