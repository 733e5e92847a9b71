"""`ocrd web`: HTTP for programs and a page for people; its tokens."""

from __future__ import annotations

from typing import Annotated

import typer

from ocrd.cli.app import ConfigOption
from ocrd.errors import ConfigError, OcrdError, UsageError
from ocrd.files import display

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
    if not app.state.wired.store.tokens():
        typer.echo("no token yet; make one: ocrd web token add NAME --role operate", err=True)
    where = f"unix:{given.socket}" if given.socket else f"http://{given.host}:{given.port}"
    typer.echo(f"ocrd web listens on {where}", err=True)
    uvicorn.run(
        app,
        host=given.host,
        port=given.port,
        uds=str(given.socket) if given.socket else None,
        log_level="warning",
        proxy_headers=False,
        timeout_graceful_shutdown=5,
        limit_concurrency=4096,
    )


@tokens.command("add")
def add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is called.")],
    role: RoleOption = "submit",
    folder: Annotated[
        list[str] | None,
        typer.Option("--folder", "-f", help="Only for this folder (may be given again)."),
    ] = None,
) -> None:
    """Make a token; its secret goes to stdout, this once."""
    from ocrd.config import load
    from ocrd.web.store import Role

    loaded = load(context.obj)
    try:
        wanted = Role(role)
    except ValueError:
        raise UsageError(f"there is no role {role!r}", hint="submit, read or operate") from None
    for each in folder or ():
        if loaded.folder(each) is None:
            known = ", ".join(known.name for known in loaded.folders)
            raise ConfigError(f"there is no folder {each!r}", hint=f"Folders: {known}.")
    store = _store(context)
    typer.echo(store.add_token(name, wanted, frozenset(folder) if folder else None))


@tokens.command("list")
def list_(context: typer.Context) -> None:
    """Say which tokens there are; their secrets are not kept."""
    for token in _store(context).tokens():
        folders = "all folders" if token.folders is None else ", ".join(sorted(token.folders))
        typer.echo(f"{display(token.name)}  {token.role}  {folders}")


@tokens.command("remove")
def remove(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Which token.")]
) -> None:
    """Forget a token; who uses it is refused from now on."""
    if not _store(context).remove_token(name):
        raise UsageError(f"there is no token {name!r}", hint="ocrd web token list")


def _store(context: typer.Context):  # type: ignore[no-untyped-def]  # imported only when needed
    from ocrd.config import load
    from ocrd.web.store import Store, store_path

    return Store(store_path(load(context.obj).ledger))
