"""Tesseract, for the languages that RapidOCR's model does not know.

It recognises the lines that RapidOCR's detector finds, so that tables, columns and reading order
are found in one way whatever the language.  `library` calls Tesseract's library, `packs` knows what
is installed of it, `recogniser` reads lines, `latin` the Latin words in them.
"""
