"""The routes, one module for each resource. A route validates, makes one call and returns."""
