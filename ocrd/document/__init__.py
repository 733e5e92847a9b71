"""Makes Markdown, searchable PDF, boxes, figures and the sidecar from the engine's results."""
