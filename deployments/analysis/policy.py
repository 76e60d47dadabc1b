"""Chooses the languages for analysing a tenant's messages and queries. Pure functions."""

from dataclasses import dataclass

from deployments.analysis.languages import Language, detected
from deployments.analysis.terms import Languages

# Increment this when the same text yields other terms: stored messages are then analysed again.
ANALYZER_VERSION = 1


@dataclass(frozen=True)
class LanguagePolicy:
    """A tenant's language. `detect`: detect the language of each message that does not state one."""

    language: Language
    detect: bool = False

    @property
    def tag(self) -> str:
        """Return a tag that identifies terms made under this policy, such as "1/en+detect"."""
        return f"{ANALYZER_VERSION}/{self.language}{'+detect' if self.detect else ''}"

    def of_document(self, text: str, own: Language | None) -> Languages:
        """Return the languages of a message: its own, then the tenant's, which is the language of queries."""
        if own is None and self.detect:
            own = detected(text)
        return (self.language,) if own in {None, self.language} else (own or self.language, self.language)


def language_of(tag: str) -> Language:
    """Return the language in a policy's tag."""
    return tag.partition("/")[2].partition("+")[0]
