"""Contexts: which messages go in, and how they are cut to a budget."""
