"""One file for each resource: validate, one call, return."""
