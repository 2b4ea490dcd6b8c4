"""Comparison of secrets in constant time."""

import hmac


def equals(given: str | bytes, wanted: str | bytes) -> bool:
    """Return whether both are equal, in a time that does not depend on where they differ.

    Any text is accepted, where `hmac.compare_digest` raises TypeError for text that is not ASCII.
    """
    return hmac.compare_digest(_encode(given), _encode(wanted))


def _encode(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
