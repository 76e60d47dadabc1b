"""The service on one machine: its Ray cluster, HAProxy, ports and processes."""
