"""The front door: HTTP and wiring. Nobody imports it."""
