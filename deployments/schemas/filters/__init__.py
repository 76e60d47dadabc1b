"""Conditions on messages, as clients write them: checked once, and read by SQL and by indexes in memory. Pure."""
