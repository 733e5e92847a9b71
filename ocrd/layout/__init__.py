"""How a page is laid out: in which order its pieces are read, which of them are tables."""
