"""What the documents need of PDF: bases, page frames, layers, lines of ink, the invisible font."""
