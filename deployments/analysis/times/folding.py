"""Casefolding that keeps offsets."""


def fold(text: str) -> str:
    """Casefold a text to one of the same length: of a letter that folds to several only the first is kept."""
    folded = text.casefold()
    if len(folded) == len(text):
        return folded
    return "".join(letter.casefold()[0] for letter in text)
