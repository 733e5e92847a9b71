"""This installation's identity and its known trees; an index of jobs by recording time."""

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
    """Give an existing ledger its identity now; it learns its trees at the next start."""
    for statement in STATEMENTS:
        op.execute(statement)
