"""The Samba share that docs/scanners.md tells people to make, on loopback, with people at it.

Users and groups are some that every Debian has, so that none need be made:

    ocrd    -> daemon   runs the daemon, owns the tree
    scanner -> backup   writes scans
    office  -> games    the group of results; a user of that name is one of its people
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.slow.faults.samba import serving
from tests.support.ports import reserved_port

DOCUMENT = Path(__file__).parents[2] / "docs" / "scanners.md"
OCRD, SCANNER, OFFICE = "daemon", "backup", "games"
PASSWORD = "only-for-this-test"
TREES = ("inbox", "outbox", "archive", "failed")
_SERVER = """\
smb ports = {port}
interfaces = lo
bind interfaces only = yes
disable netbios = yes
printcap name = /dev/null
passdb backend = tdbsam:{state}/passdb.tdb
private dir = {state}
lock directory = {state}
state directory = {state}
cache directory = {state}
pid directory = {state}
ncalrpc dir = {state}/ncalrpc
log file = {state}/log
"""


@dataclass(frozen=True, kw_only=True)
class Share:
    """The tree and its server.

    Attributes:
        root: The tree that ocrd works on.
        port: The server's, on 127.0.0.1.
        config: Its configuration.
    """

    root: Path
    port: int
    config: Path

    def command(self, user: str, share: str, words: str) -> list[str]:
        """An smbclient that does what `words` say, as a person's command line."""
        server = [f"//127.0.0.1/{share}", "--port", str(self.port), "-s", str(self.config)]
        return ["smbclient", *server, "--user", f"{user}%{PASSWORD}", "--command", words]

    def run(self, user: str, share: str, words: str) -> str:
        """Do it; what the client says.

        Raises:
            RuntimeError: The server refused something; its words.
        """
        command = self.command(user, share, words)
        client = subprocess.run(command, capture_output=True, text=True, check=False)
        if client.returncode != 0 or "NT_STATUS" in client.stdout + client.stderr:
            raise RuntimeError(f"smbclient: {client.stdout}{client.stderr}")
        return client.stdout

    def put(self, name: str, content: bytes) -> None:
        """The scanner writes a scan."""
        with tempfile.NamedTemporaryFile() as local:
            local.write(content)
            local.flush()
            self.run(SCANNER, "inbox", f"put {local.name} {name}")

    def get(self, name: str, local: Path) -> bytes:
        """One of the office fetches a result."""
        self.run(OFFICE, "outbox", f'get "{name}" {local}')
        return local.read_bytes()


@contextlib.contextmanager
def documented_share(settings: str) -> Iterator[Share]:
    """Make the tree as `ocrd install` does, and serve it as the document says.

    Args:
        settings: ocrd's configuration below `root`.
    """
    top = Path(tempfile.mkdtemp(prefix="ocrd-share-"))
    top.chmod(0o755)  # pytest's own folders let no other user pass
    try:
        with reserved_port() as port:
            root, state = top / "srv", top / "samba"
            for folder in (root, *(root / tree for tree in TREES)):
                folder.mkdir()
                shutil.chown(folder, OCRD, OCRD)
                folder.chmod({"srv": 0o2751, "outbox": 0o2771}.get(folder.name, 0o2770))
            (root / "config.toml").write_text(f'root = "{root}"\n{settings}', encoding="utf-8")
            text = samba_config(root).replace("[global]\n", "[global]\n" + _server(state, port))
            state.mkdir()
            _make_people(text, state)
            with serving(text, state, port) as config:
                yield Share(root=root, port=port, config=config)
    finally:
        shutil.rmtree(top)


def samba_config(root: Path) -> str:
    """The configuration in the document, its paths and people replaced."""
    document = DOCUMENT.read_text(encoding="utf-8")
    found = re.search(r"`/etc/samba/smb.conf`:\n\n((?:(?:    .*)?\n)+)", document)
    assert found is not None
    text = textwrap.dedent(found[1]).replace("/srv/ocrd", str(root))
    for theirs, ours in (("ocrd", OCRD), ("scanner", SCANNER), ("office", OFFICE)):
        text = re.sub(rf"(= |@| ){theirs}\b", rf"\g<1>{ours}", text)
    return text


@contextlib.contextmanager
def daemon(share: Share) -> Iterator[None]:
    """A daemon as its own user, of the group of results, without rights over others' files.

    It may read everything, so that it finds an interpreter below a home folder.
    """
    caps = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
    user = [f"--reuid={OCRD}", f"--regid={OCRD}", f"--groups={OFFICE}"]
    driver = [sys.executable, "-m", "tests.integration.driver", "--forever"]
    driver += [str(share.root / "config.toml"), str(share.root / "diary")]
    running = subprocess.Popen(
        ["setpriv", *user, *caps, "--bounding-set=-all,+dac_read_search", *driver],
        env={**os.environ, "HOME": str(share.root)},
        start_new_session=True,
    )
    try:
        yield
    finally:
        running.terminate()
        running.wait(timeout=120)


def _server(state: Path, port: int) -> str:
    return textwrap.indent(_SERVER.format(port=port, state=state), "    ")


def _make_people(text: str, state: Path) -> None:
    config = state / "smb.conf"
    config.write_text(text, encoding="utf-8")
    for user in (SCANNER, OFFICE):
        subprocess.run(
            ["smbpasswd", "-c", str(config), "-s", "-a", user],
            input=f"{PASSWORD}\n{PASSWORD}\n",
            text=True,
            check=True,
            capture_output=True,
        )
