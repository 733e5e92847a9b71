"""What every route of the web process shares."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from ocrd.views.locate import locate
from ocrd.views.status import gather
from ocrd.web.access import DeniedError, Gatekeeper
from ocrd.web.desk import Desk
from ocrd.web.store import Role, Store, Token


@dataclass(frozen=True)
class Wired:
    """The parts of one process."""

    desk: Desk
    store: Store
    gatekeeper: Gatekeeper

    async def standing(self, token: Token) -> dict[str, Any]:
        """What `ocrd status --json` prints, as far as the token sees it."""
        facts = await asyncio.to_thread(lambda: gather(locate(self.desk.config.file)))
        facts["folders"] = [each for each in facts["folders"] if token.sees(each["name"])]
        for key in ("latest", "failures"):
            facts[key] = [each for each in facts[key] if token.sees(each["folder"])]
        if token.folders is not None:  # these name files and places, and not their folders
            facts |= {"strays": [], "troubles": [], "held": [], "hanging": []}
        return facts


def desk_of(request: Request) -> Desk:
    """What the request is carried out with."""
    wired: Wired = request.app.state.wired
    return wired.desk


def token_for(request: Request, role: Role | None = None) -> Token:
    """Who asks; anybody known, unless a role is needed.

    Raises:
        DeniedError: Nobody known, or somebody who may not.
    """
    wired: Wired = request.app.state.wired
    if role is not None:
        return wired.gatekeeper.require(request, role)
    known = wired.gatekeeper.known(request)
    if known is None:
        return wired.gatekeeper.require(request, Role.SUBMIT)
    return known


def origin_of(request: Request) -> str:
    """Under which address the client reached us, proxies included; no slash at its end."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    host = request.headers.get("x-forwarded-host", request.headers.get("host", ""))
    return f"{scheme}://{host}"


__all__ = ["DeniedError", "Wired", "desk_of", "origin_of", "token_for"]
