"""Chooses the Search replica for a call, and another one when it does not answer."""
