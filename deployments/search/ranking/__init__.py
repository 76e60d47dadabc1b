"""Scores and order of messages. Pure: the clock is passed in."""
