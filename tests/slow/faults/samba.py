"""A real Samba server on loopback, and its client."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.support.needs import need
from tests.support.ports import reserved_port
from tests.support.waiting import wait_for

_STOP_S = 10.0
_CONFIG = """\
[global]
server role = standalone server
interfaces = lo
bind interfaces only = yes
smb ports = {port}
disable netbios = yes
disable spoolss = yes
load printers = no
printcap name = /dev/null
map to guest = Bad User
guest account = {user}
private dir = {state}
lock directory = {state}
state directory = {state}
cache directory = {state}
pid directory = {state}
ncalrpc dir = {state}/ncalrpc
log file = {state}/log
[inbox]
path = {share}
guest ok = yes
read only = no
force user = {user}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Samba:
    """A running server.

    Attributes:
        share: The folder it shares as `inbox`.
        port: Its port on 127.0.0.1.
        config: Its configuration file, which the client uses, too.
    """

    share: Path
    port: int
    config: Path

    def put(self, local: Path, remote: str) -> None:
        """Upload a file to `remote`, a path below the share; missing folders are created.

        Raises:
            RuntimeError: The client failed; the message is its output.
        """
        path = PurePosixPath(remote)
        folders = [str(parent) for parent in reversed(path.parents) if parent.name]
        commands = [f"mkdir {_quoted(folder)}" for folder in folders if not self._has(folder)]
        self.run("; ".join([*commands, f"put {_quoted(str(local))} {_quoted(str(path))}"]))

    def run(self, commands: str) -> str:
        """Run commands of smbclient; its output.  Raises `RuntimeError` if it fails."""
        client = subprocess.run(
            [*self._client(), "--command", commands], capture_output=True, text=True, check=False
        )
        if client.returncode != 0 or "NT_STATUS" in client.stdout + client.stderr:
            raise RuntimeError(f"smbclient: {client.stdout}{client.stderr}")
        return client.stdout

    def _client(self) -> list[str]:
        share = "//127.0.0.1/inbox"
        return ["smbclient", share, "--port", str(self.port), "-s", str(self.config), "-N"]

    def _has(self, folder: str) -> bool:
        return (self.share / folder).is_dir()


@contextlib.contextmanager
def samba(share: Path, state: Path) -> Iterator[Samba]:
    """Start smbd for a share; stop it and all its children at the end.

    Args:
        share: The folder to share.
        state: An empty folder for its configuration, databases and logs.
    """
    user = getpass.getuser()
    with reserved_port() as port:
        text = _CONFIG.format(port=port, state=state, share=share, user=user)
        with serving(text, state, port) as config:
            yield Samba(share=share, port=port, config=config)


@contextlib.contextmanager
def serving(text: str, state: Path, port: int) -> Iterator[Path]:
    """Start smbd with a configuration; stop it and all its children at the end.

    Args:
        text: The configuration; it names `state` and `port`.
        state: A folder for the configuration, databases and logs.
        port: Its port on 127.0.0.1.

    Yields:
        The configuration's file.
    """
    need("samba")
    (state / "ncalrpc").mkdir(parents=True, exist_ok=True)
    config = state / "smb.conf"
    config.write_text(text, encoding="utf-8")
    server = subprocess.Popen(
        ["smbd", "--foreground", "--no-process-group", "-s", str(config), "-l", str(state)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: _listens(port), despite=(OSError,), process=server)
        yield config
    finally:
        _stop(server)


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Stop the server's process group: the server and its child for each client."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            if server.poll() is not None and not _runs(server.pid):
                return
            time.sleep(0.02)


def _runs(group: int) -> bool:
    """Whether a process of the group still runs, and so may write to the state folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _parent, its = (
                (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:3]
            )
            if int(its) == group and state != "Z":
                return True
    return False


def _quoted(name: str) -> str:
    return f'"{name}"'
