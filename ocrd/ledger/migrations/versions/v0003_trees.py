"""Which installation this is and which trees it knows; jobs by the time they were recorded."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    "CREATE TABLE installation (id TEXT NOT NULL) STRICT",
    "INSERT INTO installation (id) VALUES (lower(hex(randomblob(16))))",
    "CREATE TABLE trees (path BLOB PRIMARY KEY, fsid TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX jobs_by_time ON jobs (created_at)",
)


def upgrade() -> None:
    """An existing ledger gets its identity now; it learns its trees at the next start."""
    for statement in STATEMENTS:
        op.execute(statement)
