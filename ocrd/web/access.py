"""Who asks, and what they may do: tokens for programs, sessions for people, a proxy's word.

An API key needs no protection against forged requests, as no browser sends it by itself.  A session
cookie and a proxy's login do: a request that changes something must come from a page of ours and
repeat a secret that only our own pages know.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import Request

from ocrd.config import Config
from ocrd.web.errors import RefusedError
from ocrd.web.store import Role, Store, Token

COOKIE = "ocrd_session"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
STRANGERS_A_MINUTE = 60  # refused requests that one address is told why
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEY_HEADERS = ("ocp-apim-subscription-key", "x-api-key", "api-key")


class Rate:
    """So many requests a minute (0: any number) for each who asks; all may come at once.

    By a clock of seconds that never steps back.
    """

    _MOST = 10_000  # who is remembered; whoever is forgotten may begin anew

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # requests left, as of when

    def spend(self, who: str) -> None:
        """Count a request.

        Raises:
            RefusedError: There were too many.
        """
        if not self._per_minute:
            return
        now = self._clock()
        left, since = self._left.pop(who, (float(self._per_minute), now))
        left = min(left + (now - since) * self._per_minute / 60, self._per_minute)
        self._left[who] = (max(left - 1, 0.0), now)
        if len(self._left) > self._MOST:
            del self._left[next(iter(self._left))]
        if left < 1:
            raise RefusedError(
                429,
                f"more than {self._per_minute} requests a minute",
                hint="Send fewer, or have an operator raise requests_per_minute under [web].",
                retry_after=1 + int(60 / self._per_minute),
            )


class Gatekeeper:
    """Tells who a request comes from."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._given = config.settings.web
        self._known = Rate(self._given.requests_per_minute)
        self._strangers = Rate(STRANGERS_A_MINUTE)

    def known(self, request: Request) -> Token | None:
        """Who asks, if that is known; a session counts only with its cookie."""
        if not hasattr(request.state, "token"):
            request.state.token = self._looked_up(request)
        found: Token | None = request.state.token
        return found

    def _looked_up(self, request: Request) -> Token | None:
        secret = _presented(request)
        if secret is not None:
            return self._store.bearer(secret)
        cookie = request.cookies.get(COOKIE)
        if cookie is not None and (found := self._store.session(cookie)):
            return found
        return self._from_proxy(request)

    def _from_proxy(self, request: Request) -> Token | None:
        """A reverse proxy that has logged somebody in; believed over the unix socket alone."""
        header = self._given.user_header
        if not header or self._given.socket is None or request.client is not None:
            return None
        name = request.headers.get(header)
        return Token(name=f"proxy:{name}", role=Role(self._given.user_role)) if name else None

    def require(self, request: Request, role: Role | None, csrf: str | None) -> Token:
        """Who asks, and may do what `role` may; without a role anybody known.

        `csrf` is the secret that a form repeats; else a header does.

        Raises:
            RefusedError: Nobody known, somebody who may not, a forged request, or too many of them.
        """
        token = self.known(request)
        if token is None:
            raise self.stranger(request)
        self._known.spend(token.name)
        if role is not None and not token.role.covers(role):
            raise RefusedError(
                403,
                f"token {token.name} has role {token.role}; this needs {role}",
                hint="Ask an operator for another token: "
                f"ocrd web token add NAME --role {role.value}",
            )
        if request.method not in _SAFE and _presented(request) is None:
            self.require_csrf(
                request, request.headers.get(CSRF_HEADER, "") if csrf is None else csrf
            )
        return token

    def stranger(self, request: Request) -> RefusedError:
        """Nobody is known by what was sent; whoever goes on guessing is told to wait."""
        try:
            self._strangers.spend(request.client.host if request.client else "socket")
        except RefusedError as too_many:
            return too_many
        return RefusedError(
            401,
            "no valid token was sent",
            hint="Send `Authorization: Bearer TOKEN`.  An operator makes one on the server: "
            "ocrd web token add NAME --role submit",
        )

    def csrf(self, request: Request) -> str:
        """What a page of ours sends back with every change."""
        return self._store.sign(_bound(request, self.known(request)))

    def require_csrf(self, request: Request, sent: str) -> None:
        """Refuse a change that another site's page has asked for.

        Raises:
            RefusedError: It says so, or the secret is missing or somebody else's.
        """
        origin = request.headers.get("origin")
        ours = origin is None or origin.partition("://")[2] == request.headers.get("host")
        if not ours or not self._store.signed(_bound(request, self.known(request)), sent):
            raise RefusedError(
                403,
                "this request does not come from a page of ocrd",
                hint="Reload the page and try again.  A proxy must pass `Host` on as it came.",
            )


def _bound(request: Request, token: Token | None) -> str:
    """To what a page's secret is bound: the session, or who a proxy says is there."""
    return f"csrf:{request.cookies.get(COOKIE, '')}:{token.name if token else ''}"


def _presented(request: Request) -> str | None:
    """The secret of a program, from whichever header its interface uses."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret:
        return secret.strip()
    found = (request.headers.get(name) for name in _KEY_HEADERS)
    return next((each for each in found if each), None)


def gatekeeper_of(request: Request) -> Gatekeeper:
    """Who tells where the request comes from."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    return gatekeeper


def token_for(request: Request, role: Role | None = None, csrf: str | None = None) -> Token:
    """Who asks; see `Gatekeeper.require`.

    Raises:
        RefusedError: Nobody known, or somebody who may not.
    """
    return gatekeeper_of(request).require(request, role, csrf)


def origin_of(request: Request) -> str:
    """Under which address the client reached us, a proxy's TLS included; no slash at its end."""
    return f"{scheme_of(request)}://{request.headers.get('host', '')}"


def scheme_of(request: Request) -> str:
    """`https` where the client's own connection is encrypted, as far as a proxy tells."""
    return "https" if request.headers.get("x-forwarded-proto") == "https" else request.url.scheme
