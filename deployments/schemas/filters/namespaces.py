"""Namespaces: conversation ids written as paths, such as `team/ada/notes`."""


def path_prefix(namespace: str | None) -> str | None:
    """Return the prefix of the ids in a namespace, without a trailing slash, or None."""
    return None if namespace is None else namespace.rstrip("/")


def is_below(conversation_id: str, prefix: str) -> bool:
    """Return whether a conversation is in a namespace: `a/b` contains `a/b` and `a/b/c`, but not `a/bc`."""
    return conversation_id == prefix or conversation_id.startswith(f"{prefix}/")
