"""What happened: every job, its pages and its history, in one SQLite file.

`ocrd.ledger.ledger.Ledger` reads and writes it; `ocrd.ledger.readonly` counts what is in it without
importing more than the standard library.  This module imports neither, so that each command pays
only for what it uses.
"""
