"""Policies, plans and runs of retention."""
