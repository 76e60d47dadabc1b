"""Text to terms: one analysis for documents and queries."""
