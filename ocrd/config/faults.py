"""Turns faults of a configuration file into errors, each with its key and its remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ocrd.errors import ConfigError

T = TypeVar("T")
Location = tuple[int | str, ...]
_OF_TYPES = {  # where pydantic uses Python's terms
    "list_type": "this is a list",
    "tuple_type": "this is a list",
    "frozen_set_type": "this is a list",
    "too_short": "this must not be empty",
    "path_type": "this is a path between quotes",
    "model_type": "this is a table",
}
_FORMS = {  # where pydantic shows a regular expression
    "name": "this is a name of at most 100 characters, without '/' or '%', with no dot first",
    "webhook": "this is an address, such as https://…",
    "servers": "this is an address, such as http://gpu:8000 or unix:/run/vllm.sock",
}
_CONSEQUENCE = "default_factory_not_called"  # of a fault in another key


def known(name: Any, among: Mapping[str, T]) -> T:
    """The value with this name.

    Raises:
        ConfigError: The name is unknown; the hint suggests the nearest known name.
    """
    if isinstance(name, str) and name in among:
        return among[name]
    raise ConfigError(f"{name!r} is unknown", hint=_did_you_mean(str(name), among))


def _did_you_mean(name: str, among: Iterable[str]) -> str:
    names = list(among)
    near = difflib.get_close_matches(name, names, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return f"{guess}Known: {', '.join(names)}."


def told(error: ValidationError, model: type[BaseModel], table: Mapping[str, Any]) -> ConfigError:
    """All faults in one error, so that an operator can fix them in one go."""
    faults = list(_flat(error))
    # A mistyped key comes first: it is why another one is missing.
    faults.sort(key=lambda fault: fault["type"] != "extra_forbidden")
    lines, remedies = [], []
    for fault in faults:
        said, remedy = _told(fault, model)
        lines.append(f"{_key(fault['loc'], table)}: {said}")
        remedies.append(remedy)
    if len(lines) == 1:
        return ConfigError(lines[0], hint=remedies[0])
    message = "\n  ".join([f"{len(lines)} mistakes:", *lines])
    return ConfigError(message, hint="\n  ".join(["For each in turn:", *remedies]))


def _flat(error: ValidationError, above: Location = ()) -> Iterator[ErrorDetails]:
    """All faults, those of nested validations included, except consequences of other faults."""
    for fault in error.errors(include_url=False):
        location = (*above, *fault["loc"])
        inner = fault.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            yield from _flat(inner, location)
        elif fault["type"] != _CONSEQUENCE:
            yield {**fault, "loc": location}


def _key(location: Location, table: Mapping[str, Any]) -> str:
    """`engine.servers[2]`; an entry of a list of tables by its name: `folder 'a': mode`."""
    key = ""
    here: Any = table
    for part in location:
        if isinstance(part, int):
            here = here[part] if isinstance(here, list) and part < len(here) else None
            name = here.get("name") if isinstance(here, dict) else None
            key += f" {name!r}" if isinstance(name, str) else f"[{part + 1}]"
        else:
            here = here.get(part) if isinstance(here, dict) else None
            key += f"{': ' if key.endswith(chr(39)) else '.'}{part}" if key else part
    return key


def _told(fault: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    """What is wrong with a key, and the remedy."""
    refusal = fault.get("ctx", {}).get("error")
    first, last = fault["loc"][0], fault["loc"][-1]
    match fault["type"]:
        case "extra_forbidden":
            if last == "root":
                return "unknown key", "Write it above the first line in [brackets]: root = …"
            return "unknown key", _did_you_mean(str(last), _keys_beside(fault["loc"], model))
        case "missing" if last == "root":
            return "missing", 'Say where everything lies: root = "/srv/ocrd".'
        case "missing":
            return "missing", f"Add {last} = …; config.example.toml explains it."
        case "list_type" if isinstance(fault["input"], dict):
            return (
                "this is a list of tables",
                f"Write [[{first}]] and not [{first}], once for each.",
            )
        case "model_type" if isinstance(fault["input"], list):
            return "there is only one such table", f"Write [{first}] and not [[{first}]], once."
    if isinstance(refusal, ConfigError):
        return refusal.message, refusal.hint
    said = _OF_TYPES.get(fault["type"], fault["msg"][0].lower() + fault["msg"][1:])
    if fault["type"] == "string_pattern_mismatch":
        said = next(_FORMS[part] for part in reversed(fault["loc"]) if part in _FORMS)
    remedy = "Correct the value; config.example.toml lists what each key takes."
    return f"{said}, not {fault['input']!r}", remedy


def _keys_beside(location: Location, model: type[BaseModel]) -> list[str]:
    """The known keys of the table that contains an unknown one."""
    for part in location[:-1]:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        if field is None:
            continue
        inner = field.annotation
        args = getattr(inner, "__args__", ())
        model = args[0] if args else inner  # type: ignore[assignment]  # sections and lists of them
    return list(model.model_fields)
