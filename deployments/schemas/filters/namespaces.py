"""Namespaces: conversation ids that are written as paths, such as `team/ada/notes`."""


def path_prefix(namespace: str | None) -> str | None:
    """Return what the ids below a namespace begin with, without the slash behind it."""
    return None if namespace is None else namespace.rstrip("/")


def is_below(conversation_id: str, prefix: str) -> bool:
    """Return whether a conversation is of a namespace: `a/b` has `a/b` and `a/b/c`, and not `a/bc`."""
    return conversation_id == prefix or conversation_id.startswith(f"{prefix}/")
