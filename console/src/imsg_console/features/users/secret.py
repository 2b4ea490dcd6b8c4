"""Passwords that people can read aloud and type on a phone."""

import secrets

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without what looks alike: i, l, o, 0, 1."""

GROUPS, LETTERS_EACH = 4, 4


def password() -> str:
    """Make one of 79 bits: `h4kd-9mzt-…`."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(LETTERS_EACH)) for _ in range(GROUPS))
