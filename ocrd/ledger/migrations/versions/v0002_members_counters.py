"""Documents joined from several files; counters for the names of outputs."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COUNTERS = """
CREATE TABLE counters (
    folder TEXT PRIMARY KEY,
    value INTEGER NOT NULL CHECK (value > 0)
) STRICT, WITHOUT ROWID
"""


# A joined document is identified by its files: two documents may have the same name.
INDEXES = """
CREATE INDEX jobs_joined ON jobs (folder) WHERE members IS NOT NULL AND place = 'inbox';
DROP INDEX jobs_queued_once;
CREATE UNIQUE INDEX jobs_queued_once ON jobs (folder, source)
    WHERE state = 'queued' AND place = 'inbox' AND ending IS NULL AND members IS NULL
"""


def upgrade() -> None:
    """Add members and counters; existing jobs have one file each."""
    op.execute("ALTER TABLE jobs ADD COLUMN members TEXT")
    for statement in (*INDEXES.split(";"), COUNTERS):
        op.execute(statement)
