"""Documents: what the engine said becomes Markdown, a searchable PDF, boxes, figures, a sidecar."""
