"""Storage of messages, facts and conversations."""
