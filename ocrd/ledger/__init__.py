"""The record of every job, its pages and its history, in one SQLite file.

`ocrd.ledger.ledger.Ledger` reads and writes it; `ocrd.ledger.readonly` counts its jobs with the
standard library alone.  This module imports neither, so that each command pays only for what it
uses.
"""
