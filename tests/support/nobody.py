"""What a user sees who is not the daemon's and has no rights of their own."""

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
    """What `look` gives in a child process that has given up root for these groups."""
    need("root")

    def become() -> object:
        os.setgroups(groups)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return look()

    return in_a_child(become)


def in_a_child(look: Callable[[], object]) -> object:
    """What `look` gives in a child process, which may become another user."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                seen: object = look()
            except OcrdError as error:
                seen = error
            if isinstance(seen, OcrdError):  # which no pickle holds
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
