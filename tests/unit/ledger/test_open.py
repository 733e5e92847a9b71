"""Opening: made, accepted, upgraded or refused, each with its reason."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from ocrd.errors import Disposition, LedgerError, PlaceError
from ocrd.job import JobState
from ocrd.ledger.ledger import Ledger
from ocrd.ledger.migrate import MIGRATIONS, Migrations, prepare
from ocrd.ledger.readonly import glance
from ocrd.ledger.tables import metadata
from tests.support.nobody import in_a_child
from tests.unit.ledger.making import Say, answer, done, forked, found, python, queued
from tests.unit.spool.mounts import fuse

SECOND_REVISION = '''
"""A later revision."""
from alembic import op
revision = "0004"
down_revision = "0003"
def upgrade():
    op.execute("ALTER TABLE jobs ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey'")
    {then}
'''

OPEN_AND_SAY = """
import sys
from pathlib import Path
from ocrd.ledger.ledger import Ledger
with Ledger.open(Path(sys.argv[1])) as ledger:
    print(len(ledger.jobs()), *(name for name in sys.modules if name == "alembic"))
"""


def open_and_say(say: Say, path: Path) -> None:
    with Ledger.open(path) as ledger:
        say(len(ledger.jobs()))


def pragma(path: Path, name: str) -> object:
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute(f"PRAGMA {name}").fetchone()[0]


@pytest.fixture
def later(tmp_path: Path) -> Migrations:
    """The migrations of a later ocrd, with one revision more."""
    folder = tmp_path / "100% later"
    shutil.copytree(MIGRATIONS.folder, folder)
    (folder / "versions" / "v0004_later.py").write_text(SECOND_REVISION.format(then=""))
    return Migrations(folder=folder, newest=4)


class TestANewLedger:
    def test_is_made_with_every_table_strict(self, path: Path) -> None:
        Ledger.open(path).close()
        with closing(sqlite3.connect(path)) as raw:
            listed = raw.execute("SELECT name, strict FROM pragma_table_list").fetchall()
        strict = {name for name, is_strict in listed if is_strict}
        assert strict == {
            "jobs",
            "pages",
            "history",
            "tallies",
            "counters",
            "installation",
            "trees",
        }

    def test_has_the_columns_that_the_statements_are_built_on(self, path: Path) -> None:
        Ledger.open(path).close()
        with closing(sqlite3.connect(path)) as raw:
            for table in metadata.sorted_tables:
                rows = raw.execute(f"PRAGMA table_info({table.name})").fetchall()
                made = {(name, kind) for _, name, kind, *_ in rows}
                built_on = {
                    (c.name, "BLOB" if str(c.type) == "BLOB" else str(c.type)) for c in table.c
                }
                assert built_on == made

    def test_bears_the_number_of_the_newest_revision_there_is(self, path: Path) -> None:
        Ledger.open(path).close()
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS.folder))
        assert ScriptDirectory.from_config(config).get_heads() == ["0003"]
        assert pragma(path, "user_version") == 3

    def test_keeps_what_was_committed_through_a_power_cut(self, path: Path) -> None:
        names = ("journal_mode", "synchronous", "foreign_keys")
        with Ledger.open(path) as ledger, ledger._bare() as raw:
            settings = [raw.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
        full, on = 2, 1
        assert settings == ["wal", full, on]

    def test_can_be_made_by_four_processes_at_once(self, path: Path) -> None:
        processes = [forked(open_and_say, path) for _ in range(4)]
        assert [answer(*process) for process in processes] == ["0\n"] * 4

    def test_is_not_made_where_the_caller_only_wants_to_look(self, path: Path) -> None:
        with pytest.raises(LedgerError) as refusal:
            Ledger.open(path, create=False)
        assert refusal.value.kind == "ledger-missing"
        assert not path.exists()

    def test_is_not_made_in_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(PlaceError) as refusal:
            Ledger.open(tmp_path / "unmounted" / "ledger.db")
        assert refusal.value.kind == "missing"


class TestAKnownLedger:
    def test_is_opened_again_without_alembic(self, path: Path) -> None:
        with Ledger.open(path) as ledger:
            queued(ledger)
        assert python(OPEN_AND_SAY, path).split() == ["1"]

    def test_is_put_back_into_wal_mode_when_a_copy_lost_it(self, path: Path) -> None:
        Ledger.open(path).close()
        assert pragma(path, "journal_mode = DELETE") == "delete"
        Ledger.open(path).close()
        assert pragma(path, "journal_mode") == "wal"


def before(tmp_path: Path, newest: int) -> Migrations:
    """The migrations of an earlier ocrd."""
    folder = tmp_path / f"schema-{newest}"
    shutil.copytree(MIGRATIONS.folder, folder)
    for revision in (folder / "versions").glob("v*.py"):
        if int(revision.name[1:5]) > newest:
            revision.unlink()
    return Migrations(folder=folder, newest=newest)


LEFT_BEHIND = """
    INSERT INTO jobs (token, folder, source, shown, state, place, size, mtime_ns, inode, sha256,
        created_at, pages, pages_done, epoch, attempts, entries)
    VALUES ('a1', 'scans', x'612e706466', 'a.pdf', 'queued', 'inbox', 9, '1', '2', x'00', 1.5,
            NULL, 0, 0, 0, 1),
        ('b2', 'scans', x'62e92e706466', 'b.pdf', 'running', 'spool', 9, '1', '3', x'01', 2.5,
            2, 1, 1, 1, 2);
    INSERT INTO pages (job_id, number, state, recipe, sha256, tries, tokens, seconds, reused,
        payload) VALUES (2, 1, 'done', 'r', x'01', 1, 9, 0.5, 0, :payload);
    INSERT INTO history (job_id, slot, seq, at, name, detail)
        VALUES (2, 1, 1, 3.5, 'page-retried', 'page 1, tries: 2')
""".replace(":payload", f"x'{zlib.compress(b'{}').hex()}'")


class TestAnOlderLedger:
    @pytest.mark.parametrize("version", [1, 2])
    def test_left_in_the_middle_of_work_goes_on(
        self, path: Path, tmp_path: Path, version: int
    ) -> None:
        prepare(path, 1.0, before(tmp_path, version))
        with closing(sqlite3.connect(path)) as raw:
            raw.executescript(LEFT_BEHIND)
        with Ledger.open(path) as ledger:
            running, waiting = ledger.jobs()
            assert (waiting.source, waiting.members, waiting.created_at) == ("a.pdf", (), 1.5)
            assert (running.source, running.pages_done) == ("b\udce9.pdf", 1)
            assert [text for _, text in ledger.payloads(running, "r")] == ["{}"]
            assert [entry.name for entry in ledger.events(2)] == ["page-retried"]
            assert ledger.unfinished() == [running]
            assert ledger.known_trees() == {} and len(ledger.installation()) == 32
            job = ledger.deliver(ledger.resume(running), outputs=None, archived_to="/a")
            assert ledger.done(job).state is JobState.DONE
            assert ledger.verify() == []

    def test_is_upgraded_with_all_that_is_in_it(self, path: Path, later: Migrations) -> None:
        with Ledger.open(path) as ledger:
            before = done(ledger)
        with Ledger.open(path, migrations=later) as ledger:
            assert ledger.job(before.id) == before
            assert ledger.verify() == []
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("SELECT colour FROM jobs").fetchall() == [("grey",)]

    def test_is_copied_first_for_no_more_eyes(self, path: Path, later: Migrations) -> None:
        with Ledger.open(path) as ledger:
            before = done(ledger)
        path.chmod(0o600)
        Ledger.open(path, migrations=later).close()
        copy = path.with_name("ledger.db.schema-3.bak")
        assert copy.stat().st_mode & 0o777 == 0o600
        with Ledger.open(copy) as ledger:
            assert ledger.job(before.id) == before
        assert sorted(entry.name for entry in path.parent.iterdir() if entry.is_file()) == [
            "ledger.db",
            "ledger.db.schema-3.bak",
        ]

    def test_stays_as_it_was_when_its_upgrade_fails(self, path: Path, later: Migrations) -> None:
        breaks = SECOND_REVISION.format(then="raise RuntimeError('half-way')")
        (later.folder / "versions" / "v0004_later.py").write_text(breaks)
        with Ledger.open(path) as ledger:
            before = done(ledger)
        with pytest.raises(RuntimeError, match="half-way"):
            Ledger.open(path, migrations=later)
        with Ledger.open(path) as ledger:
            assert ledger.job(before.id) == before


class TestRefused:
    def test_a_ledger_of_a_newer_ocrd_with_the_way_back(
        self, path: Path, later: Migrations
    ) -> None:
        Ledger.open(path).close()
        Ledger.open(path, migrations=later).close()
        before = path.read_bytes()
        for look in (Ledger.open, glance):
            with pytest.raises(LedgerError) as refusal:
                look(path)
            assert refusal.value.kind == "ledger-newer"
            assert "ledger.db.schema-3.bak" in refusal.value.hint
        assert path.read_bytes() == before

    def test_another_programs_database(self, path: Path) -> None:
        with closing(sqlite3.connect(path)) as raw:
            raw.execute("CREATE TABLE bookmarks (url)")
        with pytest.raises(LedgerError) as refusal:
            Ledger.open(path)
        assert refusal.value.kind == "ledger-foreign"
        assert pragma(path, "journal_mode") == "delete"

    @pytest.mark.parametrize("filesystem", ["nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"])
    def test_a_network_filesystem(self, path: Path, filesystem: str) -> None:
        with pytest.raises(LedgerError) as refusal:
            Ledger.open(path, filesystem=lambda _: filesystem)
        assert refusal.value.kind == "ledger-remote"
        assert filesystem in refusal.value.message
        assert not path.exists()

    def test_a_bindfs_mount_as_the_kernel_calls_it(self, tmp_path: Path) -> None:
        share = fuse(tmp_path / "origin", tmp_path / "share")
        with share as point, pytest.raises(LedgerError) as refusal:
            Ledger.open(point / "ledger.db")
        assert refusal.value.kind == "ledger-remote"


class TestDamage:
    @pytest.fixture
    def filled(self, path: Path) -> Path:
        with Ledger.open(path) as ledger:
            ledger.record([found(f"{number:04}.pdf") for number in range(1000)])
        return path

    @pytest.mark.parametrize(
        "spoilt",
        [
            lambda sound: sound[: len(sound) // 2] + b"\xa5" * (len(sound) - len(sound) // 2),
            lambda sound: b"\0" * 100 + sound[100:],
            lambda sound: sound[: len(sound) // 2],
        ],
        ids=["bytes overwritten in the middle", "a header overwritten", "cut short"],
    )
    def test_is_refused(self, filled: Path, spoilt: Callable[[bytes], bytes]) -> None:
        filled.write_bytes(before := spoilt(filled.read_bytes()))
        with pytest.raises(LedgerError) as refusal:
            Ledger.open(filled)
        assert refusal.value.kind == "ledger-damaged"
        assert refusal.value.disposition is Disposition.CONDITION
        assert "ledger.db-wal" in refusal.value.hint
        assert filled.read_bytes() == before

    def test_shows_as_such_when_it_is_met_later(self, filled: Path) -> None:
        content = bytearray(filled.read_bytes())
        half = len(content) // 2 // 4096 * 4096
        for start in range(half, len(content), 4096):
            content[start : start + 8] = b"\xff" * 8  # where each page says what it is
        filled.write_bytes(content)
        with Ledger.open(filled, check=False) as ledger:
            assert ledger.verify() != []
            with pytest.raises(LedgerError) as met:
                ledger.jobs()
        assert met.value.kind == "ledger-damaged"


@pytest.mark.parametrize("room", [0, 4096, 16384, 65536])
def test_a_disk_that_refuses_while_the_ledger_is_made_is_told_as_that(
    tmp_path: Path, room: int
) -> None:
    """The limit on a file's size stands for it: what is met comes from SQLite or SQLAlchemy."""

    def attempt() -> object:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        Ledger.open(tmp_path / "ledger.db").close()
        return None

    told = in_a_child(attempt)
    assert isinstance(told, (LedgerError, PlaceError)), told
    assert told.kind in ("ledger-io", "disk-full")
    Ledger.open(tmp_path / "ledger.db").close()
