"""Ports that a test gives to processes of its own."""

import random
import socket

# Below those that the system hands out by itself: one of these, once found free, is often another's before it is bound.
FIRST, LAST = 20_000, 32_000


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    while True:
        port = random.SystemRandom().randint(FIRST, LAST)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
