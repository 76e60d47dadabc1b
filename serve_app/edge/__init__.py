"""Everything around the routes: authentication, rate limits, bodies, errors, headers."""
