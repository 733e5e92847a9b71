"""Watches inboxes, decides when files are complete, and records them in the ledger."""
