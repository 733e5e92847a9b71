"""Documents that were joined from several files; counters for the names of outputs."""

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


def upgrade() -> None:
    """Existing jobs stand for one file each."""
    op.execute("ALTER TABLE jobs ADD COLUMN members TEXT")
    op.execute(COUNTERS)
