"""What searches read: candidates of SQL, and the changes that keep indexes in memory new."""
