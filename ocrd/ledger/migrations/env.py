"""Alembic's entry point: runs the revisions on the given connection, inside its transaction.

SQLite's DDL is transactional, so an upgrade is applied whole or not at all.  A new revision is a
file in `versions/`, and its number becomes `NEWEST` in `ocrd/ledger/readonly.py`.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
