"""The text by which a message is embedded."""

from datetime import datetime


def document_text(role: str, name: str | None, content: str, created_at: datetime) -> str:
    """What was said together with who said it and when.

    With small models this alone raised recall@10 on LoCoMo from 30 to 45 (docs/measurements.md).
    """
    return f"({created_at:%Y-%m-%d}) {name or role}: {content}"
