"""The state of daemon and jobs, shown identically by the command line and the web process.

Imports are light because `ocrd status` has to be instant: only what reading the snapshot and
counting the ledger's jobs needs.
"""
