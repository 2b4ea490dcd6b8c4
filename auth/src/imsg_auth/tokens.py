"""Tokens as they are given out at log-in."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from imsg_auth.store import User
from imsg_contract import tokens

EPOCH_BITS = 53
"""An epoch passes through Lua and JSON, whose numbers hold so many bits exactly."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token."""

    token: str
    expires_in: int
    """Seconds from now."""


class Tokens:
    """Makes tokens with the first key."""

    def __init__(self, keys: Sequence[SecretStr], lasts_s: int, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._lasts_s = lasts_s
        self._now = now

    def issue(self, user: User) -> Issued:
        """Make a token of the user's epoch as it was read; if that has been raised meanwhile, it is void already."""
        expiry = int(self._now()) + self._lasts_s
        nonce = secrets.token_hex(tokens.NONCE_BYTES)
        made = tokens.make(user.username, user.id, user.epoch, expiry=expiry, nonce=nonce, key=self._keys[0])
        return Issued(made, self._lasts_s)

    def has_made(self, text: str, user: User) -> bool:
        """Tell whether a token is this user's, of its present epoch, and not expired; says nothing of revocation."""
        token = tokens.parse(text)
        if token is None or token.username != user.username or token.has_expired(self._now()):
            return False
        return tokens.verify(token, user.id, user.epoch, self._keys)


def new_epoch() -> int:
    """Draw an epoch no token was ever made in.

    Drawn and not counted: a name that is registered again after its removal, or a database restored from a backup,
    must not come to an old epoch again and wake its tokens.
    """
    return secrets.randbelow(2**EPOCH_BITS - 1) + 1
