"""The Search deployment: from a query to hits and contexts."""
