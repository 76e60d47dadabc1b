"""Which languages a tenant's messages and queries are analysed in. Pure."""

from dataclasses import dataclass

from deployments.analysis.languages import Language, detected
from deployments.analysis.terms import Languages

# Raise it when the same text comes to other terms: what is stored is then analysed anew.
ANALYZER_VERSION = 1


@dataclass(frozen=True)
class LanguagePolicy:
    """A tenant's language. `detect`: look at each message for its own, if it does not say."""

    language: Language
    detect: bool = False

    @property
    def tag(self) -> str:
        """Return what tells terms that were made under this policy from all others, as in "1/en+detect"."""
        return f"{ANALYZER_VERSION}/{self.language}{'+detect' if self.detect else ''}"

    def of_document(self, text: str, own: Language | None) -> Languages:
        """Return the languages of a message: its own, and the tenant's, which queries are asked in."""
        if own is None and self.detect:
            own = detected(text)
        return (self.language,) if own in {None, self.language} else (own or self.language, self.language)


def language_of(tag: str) -> Language:
    """Return the language of a policy's tag."""
    return tag.partition("/")[2].partition("+")[0]
