"""Runs a function as a user without rights, to check what such a user sees."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from functools import partial

from ocrd.errors import OcrdError
from tests.support.needs import need

NOBODY = 65534


def as_nobody(look: Callable[[], object], *groups: int) -> object:
    """The result of `look` in a child process that runs as nobody, with only these extra groups."""
    need("root")

    def become() -> object:
        os.setgroups(groups)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return look()

    return in_a_child(become)


def in_a_child(look: Callable[[], object]) -> object:
    """The result of `look` in a child process, which may become another user.

    If `look` raises an `OcrdError`, that error is the result.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                seen: object = look()
            except OcrdError as error:
                seen = error
            if isinstance(seen, OcrdError):  # which cannot be pickled
                seen = partial(type(seen), seen.message, hint=seen.hint, kind=seen.kind)
            with open(writer, "wb") as pipe:
                pickle.dump(seen, pipe)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        seen = pickle.load(pipe)
    os.waitpid(child, 0)
    return seen() if isinstance(seen, partial) else seen
