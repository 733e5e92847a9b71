"""Engines: a page image and a prompt mode go in, the raw text of the page comes out."""
