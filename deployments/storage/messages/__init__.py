"""Messages, facts and conversations: stored, read, changed, deleted."""
