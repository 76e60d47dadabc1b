"""The text from which a message's embedding is computed."""

from datetime import datetime


def document_text(role: str, name: str | None, content: str, created_at: datetime) -> str:
    """Return the content together with its speaker and time.

    With small models this alone raised recall@10 on LoCoMo from 30 to 45 (docs/measurements.md).
    """
    return f"({created_at:%Y-%m-%d}) {name or role}: {content}"
