"""HTTP server and wiring. No other package imports it."""
