"""Jobs, their pages and their history; tallies maintained by triggers."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JOBS = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    token TEXT NOT NULL,
    folder TEXT NOT NULL,
    source BLOB NOT NULL,
    shown TEXT NOT NULL,
    state TEXT NOT NULL
        CHECK (state IN ('queued', 'running', 'delivering', 'done', 'failed', 'cancelled')),
    place TEXT NOT NULL CHECK (place IN ('inbox', 'spool', 'archive', 'failed', 'gone')),
    epoch INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    priority INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL,
    mtime_ns TEXT NOT NULL,
    inode TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    pages INTEGER,
    pages_done INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    not_before REAL NOT NULL DEFAULT 0,
    started_at REAL,
    finished_at REAL,
    outputs BLOB,
    archived_to BLOB,
    failed_to BLOB,
    error_kind TEXT,
    error_message TEXT,
    error_hint TEXT,
    ending TEXT CHECK (ending IN ('failed', 'cancelled')),
    cancel_requested INTEGER NOT NULL DEFAULT 0 CHECK (cancel_requested IN (0, 1)),
    entries INTEGER NOT NULL DEFAULT 0
) STRICT
"""

PAGES = """
CREATE TABLE pages (
    id INTEGER PRIMARY KEY,
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number INTEGER NOT NULL CHECK (number > 0),
    state TEXT NOT NULL CHECK (state IN ('pending', 'done', 'partial', 'failed')),
    recipe TEXT NOT NULL,
    sha256 BLOB NOT NULL,
    tries INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    reused INTEGER NOT NULL CHECK (reused IN (0, 1)),
    error_kind TEXT,
    error_message TEXT,
    error_hint TEXT,
    payload BLOB,
    UNIQUE (job_id, number)
) STRICT
"""

HISTORY = """
CREATE TABLE history (
    job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    slot INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at REAL NOT NULL,
    name TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (job_id, slot)
) STRICT, WITHOUT ROWID
"""

TALLIES = """
CREATE TABLE tallies (
    folder TEXT NOT NULL,
    state TEXT NOT NULL,
    jobs INTEGER NOT NULL CHECK (jobs >= 0),
    PRIMARY KEY (folder, state)
) STRICT, WITHOUT ROWID
"""

# Partial, so that a million done jobs burden only the listings in which they appear.
INDEXES = """
CREATE INDEX jobs_ready ON jobs (folder, priority DESC, id)
    WHERE state = 'queued' AND not_before = 0 AND cancel_requested = 0 AND ending IS NULL;
CREATE INDEX jobs_deferred ON jobs (not_before) WHERE state = 'queued' AND not_before <> 0;
CREATE INDEX jobs_waiting ON jobs (folder, created_at) WHERE state = 'queued';
CREATE INDEX jobs_at_inbox ON jobs (folder, source) WHERE place = 'inbox';
CREATE UNIQUE INDEX jobs_queued_once ON jobs (folder, source)
    WHERE state = 'queued' AND place = 'inbox' AND ending IS NULL;
CREATE INDEX jobs_by_folder ON jobs (folder, id);
CREATE INDEX jobs_by_state ON jobs (state, id) WHERE state <> 'done';
CREATE INDEX jobs_by_token ON jobs (token) WHERE state <> 'done';
CREATE INDEX jobs_done ON jobs (finished_at) WHERE state = 'done';
CREATE INDEX jobs_ending ON jobs (ending) WHERE ending IS NOT NULL;
CREATE INDEX jobs_to_cancel ON jobs (id) WHERE cancel_requested = 1;
CREATE INDEX pages_reusable ON pages (sha256, recipe, number) WHERE state = 'done'
"""

ONE_MORE = """
    INSERT INTO tallies (folder, state, jobs) VALUES (new.folder, new.state, 1)
        ON CONFLICT (folder, state) DO UPDATE SET jobs = jobs + 1;
"""
ONE_LESS = """
    UPDATE tallies SET jobs = jobs - 1 WHERE folder = old.folder AND state = old.state;
"""
TRIGGERS = (
    f"CREATE TRIGGER jobs_added AFTER INSERT ON jobs BEGIN {ONE_MORE} END",
    f"CREATE TRIGGER jobs_dropped AFTER DELETE ON jobs BEGIN {ONE_LESS} END",
    "CREATE TRIGGER jobs_changed AFTER UPDATE OF state ON jobs WHEN old.state <> new.state "
    f"BEGIN {ONE_LESS} {ONE_MORE} END",
)


def upgrade() -> None:
    """Turn an empty file into a ledger."""
    for statement in (JOBS, PAGES, HISTORY, TALLIES, *INDEXES.split(";"), *TRIGGERS):
        op.execute(statement)
