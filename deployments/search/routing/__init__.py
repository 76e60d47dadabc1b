"""Which Search replica answers, and which one if that one does not."""
