"""`ocrd web`: HTTP for programs and a page for people; its tokens."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrd.cli.app import ConfigOption
from ocrd.cli.jobs import require_folder
from ocrd.errors import ConfigError, OcrdError, UsageError
from ocrd.files import display

if TYPE_CHECKING:
    from ocrd.config.schema import WebSettings

MOST_CONNECTIONS = 4096
_ALIVE = (  # a client that is switched off, or takes none of its answer, has two minutes
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000),
)
web = typer.Typer(invoke_without_command=True, help="Serve the page and the HTTP interfaces.")
tokens = typer.Typer(no_args_is_help=True, help="Who may use them.")
web.add_typer(tokens, name="token")

RoleOption = Annotated[
    str, typer.Option("--role", "-r", help="submit, read, or operate (both, retry and cancel).")
]


@web.callback()
def serve(context: typer.Context, config: ConfigOption = None) -> None:
    """Serve the page and the HTTP interfaces, in the foreground, as systemd starts it."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    try:
        import uvicorn

        from ocrd.web.app import create_app
        from ocrd.web.patience import HeadInTime
    except ImportError as error:
        raise OcrdError(
            f"the HTTP part is not installed: {error.name} is missing",
            hint="pip install 'ocrd-daemon[web]' in ocrd's own environment.",
            kind="not-installed",
        ) from error
    from ocrd.config import load

    loaded = load(config)
    given = loaded.settings.web
    app = create_app(loaded)
    if not app.state.desk.store.tokens():
        typer.echo("no token yet; make one: ocrd web token add NAME --role operate", err=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # each connection is an open file
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=HeadInTime,
            ws="none",
            log_level="warning",
            proxy_headers=False,
            timeout_graceful_shutdown=5,
            limit_concurrency=MOST_CONNECTIONS,
        )
    )
    listening = _listening(given)
    where = given.socket or f"http://{given.host}:{listening.getsockname()[1]}"
    typer.echo(f"ocrd web listens on {where}", err=True)
    server.run(sockets=[listening])


def _listening(given: WebSettings) -> socket.socket:
    """A listening socket as configured; a unix socket, which is trusted, is for its group alone.

    Raises:
        ConfigError: We cannot listen there.
    """
    place = str(given.socket or f"{given.host}:{given.port}")
    try:
        if given.socket is None:
            family = socket.AF_INET6 if ":" in given.host else socket.AF_INET
            made = socket.create_server((given.host, given.port), family=family, backlog=2048)
            for level, option, value in _ALIVE:
                made.setsockopt(level, option, value)
            return made
        with contextlib.suppress(FileNotFoundError):
            given.socket.unlink()  # left by an earlier process
        made = socket.socket(socket.AF_UNIX)
        before = os.umask(0o117)
        try:
            made.bind(str(given.socket))
        finally:
            os.umask(before)
        made.listen(2048)
    except OSError as error:
        raise ConfigError(
            f"ocrd web cannot listen on {place}: {error.strerror}",
            hint="Choose another `port`, `host` or `socket` under [web]; another process may have "
            "it: ss -lpn tells.",
        ) from error
    return made


@tokens.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is called.")],
    role: RoleOption = "submit",
    folder: Annotated[
        list[str] | None,
        typer.Option("--folder", "-f", help="Only for this folder (may be given again)."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make a token; its secret goes to stdout, this once."""
    from ocrd.config import load
    from ocrd.web.store import Role

    loaded = load(config or context.obj)
    if not name or not name.isprintable():
        raise UsageError(f"{name!r} is no name for a token", hint="ocrd web token add office")
    try:
        wanted = Role(role)
    except ValueError:
        raise UsageError(f"there is no role {role!r}", hint="submit, read or operate") from None
    for each in folder or ():
        require_folder(each, [known.name for known in loaded.folders])
    store = _store(config or context.obj)
    typer.echo(store.add_token(name, wanted, frozenset(folder) if folder else None))


@tokens.command("list")
def list_(context: typer.Context, config: ConfigOption = None) -> None:
    """Say which tokens there are; their secrets are not kept."""
    tokens = _store(config or context.obj).tokens()
    if not tokens:
        typer.echo("no token yet; make one: ocrd web token add NAME --role operate", err=True)
    for token in tokens:
        folders = "all folders" if token.folders is None else ", ".join(sorted(token.folders))
        typer.echo(f"{display(token.name)}  {token.role}  {folders}")


@tokens.command("remove")
def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which token.")],
    config: ConfigOption = None,
) -> None:
    """Forget a token; who uses it is refused from now on."""
    if not name.isprintable() or not _store(config or context.obj).remove_token(name):
        raise UsageError(f"there is no token {name!r}", hint="ocrd web token list")
    typer.echo(f"{name} is removed", err=True)


def _store(config: Path | None):  # type: ignore[no-untyped-def]  # imported only when needed
    from ocrd.config import load
    from ocrd.web.store import Store, store_path

    return Store(store_path(load(config).ledger))
