"""Who asks, and what they may do: tokens for programs, sessions for people, a proxy's word.

An API key needs no protection against forged requests, as no browser sends it by itself; a session
cookie does: a request that changes something must repeat a secret that only our own pages know.
"""

from __future__ import annotations

from fastapi import Request

from ocrd.config import Config
from ocrd.errors import OcrdError
from ocrd.web.store import Role, Store, Token

COOKIE = "ocrd_session"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEY_HEADERS = ("ocp-apim-subscription-key", "x-api-key", "api-key")


class DeniedError(OcrdError):
    """The request is refused.

    Args:
        status: 401 when nobody is known, 403 when somebody may not.
    """

    kind = "denied"

    def __init__(self, status: int, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Gatekeeper:
    """Tells who a request comes from.

    Args:
        store: Knows tokens and sessions.
        config: Says whether a proxy is believed.
    """

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._given = config.settings.web

    def known(self, request: Request) -> Token | None:
        """Who asks, if that is known; a session counts only with its cookie."""
        secret = _presented(request)
        if secret is not None:
            return self._store.bearer(secret)
        cookie = request.cookies.get(COOKIE)
        if cookie is not None:
            return self._store.session(cookie)
        return self._from_proxy(request)

    def require(self, request: Request, role: Role) -> Token:
        """Who asks, and may do what `role` may.

        Raises:
            DeniedError: Nobody known, somebody who may not, or a forged request.
        """
        token = self.known(request)
        if token is None:
            raise DeniedError(
                401,
                "no valid token was sent",
                hint="Send `Authorization: Bearer TOKEN`.  An operator makes one on the server: "
                "ocrd web token add NAME --role submit",
            )
        if not token.role.covers(role):
            raise DeniedError(
                403,
                f"token {token.name} has role {token.role}; this needs {role}",
                hint=f"Ask an operator for a token of that role: ocrd web token add NAME "
                f"--role {role}",
            )
        if request.method not in _SAFE and _presented(request) is None:
            self.require_csrf(request, request.headers.get(CSRF_HEADER, ""))
        return token

    def csrf(self, request: Request) -> str:
        """What a page of ours sends back with every change."""
        return self._store.sign("csrf:" + request.cookies.get(COOKIE, ""))

    def require_csrf(self, request: Request, sent: str) -> None:
        """Refuse a change that another site's page has asked for.

        Raises:
            DeniedError: The secret is missing or another session's.
        """
        if not self._store.signed("csrf:" + request.cookies.get(COOKIE, ""), sent):
            raise DeniedError(
                403,
                "this request does not come from a page of ocrd",
                hint="Reload the page and try again.",
            )

    def _from_proxy(self, request: Request) -> Token | None:
        """A reverse proxy that has logged somebody in; believed over the unix socket alone."""
        header = self._given.user_header
        if not header or self._given.socket is None or request.client is not None:
            return None
        name = request.headers.get(header)
        return Token(name=f"proxy:{name}", role=Role(self._given.user_role)) if name else None


def _presented(request: Request) -> str | None:
    """The secret of a program, from whichever header its interface uses."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret:
        return secret.strip()
    found = (request.headers.get(name) for name in _KEY_HEADERS)
    return next((each for each in found if each), None)
