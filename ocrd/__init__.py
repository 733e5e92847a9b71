"""ocrd: scans dropped into inbox folders become text, Markdown and searchable PDFs."""

__version__ = "0.1.0"
