"""How things stand, for whoever shows it: the command line and the web process tell the same.

Light: `ocrd status` has to be instant, so nothing here imports more than it needs to read the
snapshot and to count the ledger.
"""
