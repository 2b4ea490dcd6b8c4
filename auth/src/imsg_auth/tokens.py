"""Tokens as they are given out at log-in."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr

from imsg_auth.store import User
from imsg_contract import tokens
from imsg_contract.ids import time_of

EPOCH_BITS = 53
"""An epoch passes through Lua and JSON, whose numbers hold so many bits exactly."""

ROLL_S = 86_400
"""How long after an upgrade there may be gateways of the version before: far longer than a roll takes."""

FOUNDING_S = 60
"""A user's id is drawn in the moment of its registration, but for those who were there before ids."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token."""

    token: str
    expires_in: int
    """Seconds from now."""


class Tokens:
    """Makes tokens with the first key."""

    def __init__(
        self,
        keys: Sequence[SecretStr],
        lasts_s: int,
        ids_from: float = 0.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """From `ids_from` (Unix time) on tokens are signed with their user's id."""
        self._keys = keys
        self._lasts_s = lasts_s
        self._ids_from = ids_from
        self._now = now

    def issue(self, user: User) -> Issued:
        """Make a token of the user's epoch as it was read; if that has been raised meanwhile, it is void already."""
        now = self._now()
        expiry = int(now) + self._lasts_s
        nonce = secrets.token_hex(tokens.NONCE_BYTES)
        user_id = user.id if now >= self._ids_from else None
        made = tokens.make(user.username, user_id, user.epoch, expiry=expiry, nonce=nonce, key=self._keys[0])
        return Issued(made, self._lasts_s)

    def has_made(self, text: str, user: User) -> bool:
        """Tell whether a token is this user's, of its present epoch, and not expired; says nothing of revocation."""
        token = tokens.parse(text)
        if token is None or token.username != user.username or token.has_expired(self._now()):
            return False
        return tokens.verify(token, user.id, user.epoch, self._keys)


def ids_from(oldest: User | None) -> float:
    """Say from when on tokens are signed with ids: at once, or a day after an upgrade gave the users theirs.

    Owners are rolled before gateways (docs/operations.md), and a gateway of before ids can't verify such a token. An id
    much younger than its user was given by the upgrade, and holds the upgrade's time.
    """
    if oldest is None:
        return 0.0
    given_at = time_of(oldest.id)
    return given_at + ROLL_S if given_at > oldest.created_at.timestamp() + FOUNDING_S else 0.0


def new_epoch() -> int:
    """Draw an epoch no token was ever made in.

    Drawn and not counted: a name that is registered again after its removal, or a database restored from a backup,
    must not come to an old epoch again and wake its tokens.
    """
    return secrets.randbelow(2**EPOCH_BITS - 1) + 1
