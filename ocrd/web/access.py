"""Who sends a request, and what they may do: tokens for programs, sessions, logins by a proxy.

An API key needs no protection against forged requests, because no browser sends it by itself.  A
session cookie and a proxy's login do: a request that changes something must come from one of our
pages and repeat a secret that only these know.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fastapi import Request

from ocrd.config import Config
from ocrd.web.errors import RefusedError, root_of
from ocrd.web.store import Role, Store, Token

COOKIE = "ocrd_session"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
STRANGERS_A_MINUTE = 60  # refusals per address that say why
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_KEY_HEADERS = ("ocp-apim-subscription-key", "x-api-key", "api-key")


class Rate:
    """Limits each client to `per_minute` requests (0: any number), which may all come at once.

    `clock` gives seconds and never steps back.
    """

    _MOST = 10_000  # clients that are remembered; one that is forgotten starts afresh

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # requests left, as of when

    def spend(self, who: str) -> None:
        """Count a request of client `who`.

        Raises:
            RefusedError: The client has sent too many.
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
    """Finds out who sends a request, and refuses what they may not do."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._given = config.settings.web
        self._known = Rate(self._given.requests_per_minute)
        self._strangers = Rate(STRANGERS_A_MINUTE)

    def known(self, request: Request) -> Token | None:
        """The token of the client, from its secret, its session's cookie or a proxy; or None."""
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
        """The user whom a reverse proxy has logged in; trusted only over the unix socket."""
        header = self._given.user_header
        if not header or self._given.socket is None or request.client is not None:
            return None
        name = request.headers.get(header)
        return Token(name=f"proxy:{name}", role=Role(self._given.user_role)) if name else None

    def require(self, request: Request, role: Role | None, csrf: str | None) -> Token:
        """The token of the client, which must cover `role`; without a role, any token will do.

        `csrf` is the secret that a form repeats; if None, it is read from a header.

        Raises:
            RefusedError: No token, one without the role, too many requests, or a forged one.
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
        """The error for a client without a valid token; one that keeps guessing is told to wait."""
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
        """The secret that a page of ours sends back with every change."""
        return self._store.sign(_bound(request, self.known(request)))

    def require_csrf(self, request: Request, sent: str) -> None:
        """Refuse a change that was requested by another site's page.

        Raises:
            RefusedError: Its origin is another site, or the secret is missing or wrong.
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
    """The text that a page's secret signs: it binds it to the session and to the token's name."""
    return f"csrf:{request.cookies.get(COOKIE, '')}:{token.name if token else ''}"


def _presented(request: Request) -> str | None:
    """The secret that a program sent, from whichever header its interface uses."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret:
        return secret.strip()
    found = (request.headers.get(name) for name in _KEY_HEADERS)
    return next((each for each in found if each), None)


def gatekeeper_of(request: Request) -> Gatekeeper:
    """The application's gatekeeper."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    return gatekeeper


def token_for(request: Request, role: Role | None = None, csrf: str | None = None) -> Token:
    """The token of the client; see `Gatekeeper.require`.

    Raises:
        RefusedError: As `Gatekeeper.require` raises it.
    """
    return gatekeeper_of(request).require(request, role, csrf)


def origin_of(request: Request) -> str:
    """The address by which the client reached us, with a proxy's TLS and prefix; no final slash."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}{root_of(request.scope)}"
