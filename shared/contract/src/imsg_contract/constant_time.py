"""Comparison of what a stranger gives with a secret, or with what a secret has made."""

import hmac


def equals(given: str | bytes, wanted: str | bytes) -> bool:
    """Tell whether both are the same, in a time that says nothing of where they differ.

    `given` may be any text: `hmac.compare_digest` raises TypeError at one that is not ASCII.
    """
    return hmac.compare_digest(_encode(given), _encode(wanted))


def _encode(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
