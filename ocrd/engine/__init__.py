"""Engines: a page image and a prompt mode go in, the text of the page comes out."""
