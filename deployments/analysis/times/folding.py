"""Casefolding that keeps offsets."""


def fold(text: str) -> str:
    """Return the casefolded text in the same length. If a letter folds to several, only the first is kept."""
    folded = text.casefold()
    if len(folded) == len(text):
        return folded
    return "".join(letter.casefold()[0] for letter in text)
