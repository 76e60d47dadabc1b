"""What happens to requests before and after their route: authentication, limits, bodies, errors, headers."""
