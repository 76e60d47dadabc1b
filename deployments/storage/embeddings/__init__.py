"""Embedding jobs, and the spaces that vectors are of."""
