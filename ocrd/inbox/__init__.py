"""A file appears in an inbox, comes to rest and is handed over."""
