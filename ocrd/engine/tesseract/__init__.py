"""Tesseract, for the languages that RapidOCR's model does not read well.

It recognises the lines that RapidOCR's detector finds, so that tables, columns and reading order
are found in the same way for every language.  `library` calls Tesseract's library, `packs` knows
which parts are installed, `recogniser` reads lines (cleaned by `tidy`) and puts their `words` in
order, `latin` reads the Latin words in them.
"""
