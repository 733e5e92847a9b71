"""The command line.  Thin: each command calls the other packages and prints their results.

Modules here import nothing heavy at the top, because `ocrd status` has to be instant.
"""
