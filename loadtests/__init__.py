"""Loads that the service is measured under, and the floor that it is held against."""
