"""The command line.  Thin: each command asks the parts and prints what they say.

Modules here import nothing heavy at the top: `ocrd status` has to be instant.
"""
