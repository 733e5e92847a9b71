"""Alembic's entry: runs the revisions on the connection, and inside the transaction, it is given.

SQLite's DDL is transactional, so an upgrade happens whole or not at all.  A new revision is a file
in `versions/`, and its number becomes `NEWEST` in `ocrd/ledger/readonly.py`.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
