"""The database itself: connections, the embedded server, the schema, named queries."""
