"""Tokens: issued at log-in, verified for gateways."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from imsg_auth.rows.users import User
from imsg_contract import tokens

FRESH_S = 3_600
"""For how long a log-in is enough to change keys, providers and roles."""

EPOCH_BITS = 53
"""An epoch passes through Lua and JSON, whose numbers hold so many bits exactly."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token."""

    token: str
    expires_in: int
    """Seconds from now."""


class Tokens:
    """Makes tokens with the first key."""

    def __init__(self, keys: Sequence[SecretStr], lasts_s: int, now: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self.lasts_s = lasts_s
        self._now = now

    def issue(self, user: User) -> IssuedToken:
        """Make a token of the epoch in `user`; it is void if the epoch changed meanwhile."""
        expiry = int(self._now()) + self.lasts_s
        nonce = secrets.token_hex(tokens.NONCE_BYTES)
        return IssuedToken(self.make(user.username, user.id, user.epoch, expiry, nonce), self.lasts_s)

    def make(self, username: str, user_id: str, epoch: int, expiry: int, nonce: str) -> str:
        """Make the token of a nonce, which may have been issued before."""
        return tokens.make(username, user_id, epoch, expiry=expiry, nonce=nonce, key=self._keys[0])

    def is_fresh(self, text: str) -> bool:
        """Return whether a token is of a log-in within the last `FRESH_S`."""
        token = tokens.parse(text)
        return token is not None and token.expiry - self.lasts_s + FRESH_S > self._now()

    def verify(self, text: str, user: User) -> bool:
        """Return whether a token is this user's, of the present epoch, and not expired; it may still be revoked."""
        token = tokens.parse(text)
        if token is None or token.username != user.username or token.has_expired(self._now()):
            return False
        return tokens.verify(token, user.id, user.epoch, self._keys)


def new_epoch() -> int:
    """Draw a random epoch, which ends every earlier token of the user.

    It is random and no counter: after a name was registered again, or a backup restored, no old epoch may return.
    """
    return secrets.randbelow(2**EPOCH_BITS - 1) + 1
