"""The layout of a page: the reading order of its pieces, and which of them are tables."""
