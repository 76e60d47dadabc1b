"""One machine: its Ray cluster, HAProxy, ports and processes."""
