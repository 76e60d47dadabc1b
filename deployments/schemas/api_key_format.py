"""The format of API keys: `aml_`, eight characters that identify the key, and 256 random bits."""

import hashlib
import re
import secrets
import string
from dataclasses import dataclass

PREFIX_CHARACTERS = 8
SECRET_BYTES = 32
_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(r"(aml_[A-Za-z0-9]{8})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class KeyText:
    """A new key. Only its prefix and its digest are stored."""

    text: str
    prefix: str
    digest: bytes

    def __repr__(self) -> str:
        return f"KeyText({self.prefix})"


def make_key() -> KeyText:
    """Return a new random key. Its prefix is not secret: it names the key in logs and listings."""
    prefix = "aml_" + "".join(secrets.choice(_ALPHABET) for _ in range(PREFIX_CHARACTERS))
    text = f"{prefix}_{secrets.token_urlsafe(SECRET_BYTES)}"
    return KeyText(text, prefix, digest(text))


def prefix_of(text: str) -> str | None:
    """Return the prefix of a key, or None if the text does not have the format of a key."""
    match = _FORM.fullmatch(text)
    return match and match[1]


def digest(text: str) -> bytes:
    """Return the SHA-256 of a key. A slow hash protects human passwords, and is not needed for 256 random bits."""
    return hashlib.sha256(text.encode()).digest()
