"""The recall audit: compares searches with exact search."""
