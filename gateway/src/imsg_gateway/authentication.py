"""Whose token it is, whether it holds, and whether its user may send once more."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple

from pydantic import SecretStr

from imsg_contract import tokens
from imsg_contract.errors import Refusal
from imsg_contract.tokens import Token
from imsg_gateway.limits import refuse_exhausted
from imsg_limits.quota import (
    CachedUser,
    Charged,
    CodesForbidden,
    Exhausted,
    Kind,
    Quota,
    SendingDisabled,
    StaleToken,
    TokenRevoked,
    UserNotCached,
)
from imsg_web.callers import Caller
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

MAX_VERDICTS = 8_192
"""Tokens whose MAC is remembered: a few MiB."""

MAX_ROUNDS = 4
"""How often a user may be missing in the cache, or the epoch be another, before the gateway gives up: each is a change
made in that very moment."""


class Owner(NamedTuple):
    """Whose a request is."""

    username: str
    user_id: str
    events: int = 0
    """Which events of it somebody wants to hear, where another sends it for them; else the charge says it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A token whose MAC was right, and of whom."""

    token: Token
    epoch: int
    user_id: str


class Authenticator:
    """Judges tokens by the user cache in Redis; has auth write who is missing there."""

    def __init__(
        self,
        quota: Quota,
        auth: Peer,
        keys: Sequence[SecretStr],
        zone: tzinfo,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.quota = quota
        self.zone = zone
        self._auth = auth
        self._keys = keys
        self._now = now
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()

    @property
    def remembered(self) -> int:
        """How many tokens' MACs are remembered."""
        return len(self._verdicts)

    def read(self, given: object) -> "Credential":
        """Read a token as given. Raises Refusal token_missing, and token_invalid for what can't hold at all."""
        if given is None:
            raise Refusal("token_missing")
        if not isinstance(given, str):
            raise Refusal("token_invalid")
        if (verdict := self._verdicts.get(given)) is not None:
            self._verdicts.move_to_end(given)
            if verdict.token.has_expired(self._now()):
                del self._verdicts[given]
                raise Refusal("token_invalid")
            return Credential(self, given, verdict.token, verdict)
        token_read = tokens.parse(given)
        if token_read is None or token_read.has_expired(self._now()):
            raise Refusal("token_invalid")
        return Credential(self, given, token_read, None)

    def verify(self, text: str, token: Token, user_id: str, epoch: int) -> Verdict:
        """Hold a token's MAC against an id and an epoch, and remember. Raises Refusal token_invalid."""
        verdict = self._verdicts.get(text)
        if verdict is not None and verdict.epoch == epoch and verdict.user_id == user_id:
            return verdict
        if not tokens.verify(token, user_id, epoch, self._keys):
            self._verdicts.pop(text, None)
            raise Refusal("token_invalid")
        verdict = self._verdicts[text] = Verdict(token, epoch, user_id)
        if len(self._verdicts) > MAX_VERDICTS:
            self._verdicts.popitem(last=False)
        return verdict

    async def find_owner(self, username: str, user_id: str) -> Owner:
        """Return the user of an id and name, with the events that callbacks wants of what others send for the user.

        Raises ServiceUnavailable, RedisUnavailable.
        """
        for _ in range(MAX_ROUNDS):
            known = await self.quota.peek(username, "")
            if isinstance(known, CachedUser):
                return Owner(username, user_id, known.events if known.user_id == user_id else 0)
            try:
                await self.cache(username, None)
            except Refusal:  # removed
                return Owner(username, user_id)
        raise ServiceUnavailable("auth did not write the user into the cache")

    async def cache(self, username: str, token: str | None) -> None:
        """Have auth write a user into the cache, for the sake of a token (if it is for one) that auth judges itself.

        Raises Refusal token_invalid where the token is none of auth's, or there is no such user; ServiceUnavailable.
        """
        asked = {"username": username} if token is None else {"username": username, "token": token}
        answer = await self._auth.call("POST", "/internal/mirror", json=asked)
        if answer.status_code in (401, 404):
            raise Refusal("token_invalid")
        if answer.status_code != 200:  # noqa: PLR2004
            raise ServiceFailed(f"auth answered {answer.status_code} to /internal/mirror")


class Credential:
    """A token that may hold: of right form, not expired, its MAC perhaps verified before.

    Whether it holds now is Redis' to say: `judged` asks for that alone, `charge` in the step that counts.
    """

    def __init__(self, authenticator: Authenticator, text: str, token: Token, verdict: Verdict | None) -> None:
        self.text = text
        self.username = token.username
        self._authenticator = authenticator
        self.token = token
        self._verdict = verdict
        self._caller: Caller | None = None

    async def owner(self) -> Owner:
        """Return whose token it is, if it holds.

        Spares who was verified before a look at the cache. Raises like `judged`.
        """
        if self._verdict is None:
            await self.authenticate()
        assert self._verdict is not None  # noqa: S101  judged sets it
        return Owner(self.username, self._verdict.user_id)

    async def authenticate(self) -> Caller:
        """Settle the token, once. Raises Refusal token_invalid; ServiceUnavailable, RedisUnavailable."""
        if self._caller is None:
            self._caller = await self._judge()
        return self._caller

    async def charge(self, recipients: int, kind: Kind | None = None) -> Charged:
        """Count one request, if token, `available` and limits allow it, all in one step; `kind` is what it is one of.

        Raises Refusal token_invalid, sending_disabled, may_not_send_codes and what `limits` knows; ServiceUnavailable,
        RedisUnavailable.
        """
        if self._verdict is None:
            await self.authenticate()
        for _ in range(MAX_ROUNDS):
            known = self._verdict
            assert known is not None  # noqa: S101  judged sets it
            match await self._authenticator.quota.charge(
                self.username, self.token.nonce, known.epoch, recipients, known.user_id, kind=kind
            ):
                case Charged() as charged:
                    return charged
                case Exhausted() as nothing_left:
                    raise refuse_exhausted(nothing_left, recipients, self._authenticator.zone)
                case SendingDisabled():
                    raise Refusal("sending_disabled")
                case CodesForbidden():
                    raise Refusal("may_not_send_codes")
                case TokenRevoked():
                    raise Refusal("token_invalid")
                case StaleToken(epoch=epoch, user_id=user_id):
                    self._verify(user_id, epoch)
                case UserNotCached():
                    await self._authenticator.cache(self.username, self.text)
        raise ServiceUnavailable("auth did not write the user into the cache")

    async def _judge(self) -> Caller:
        for _ in range(MAX_ROUNDS):
            match await self._authenticator.quota.peek(self.username, self.token.nonce):
                case CachedUser(epoch=epoch, role=role, user_id=user_id, since=since):
                    self._verify(user_id, epoch)
                    return Caller(self.username, role == "admin", user_id, since)
                case TokenRevoked():
                    raise Refusal("token_invalid")
                case UserNotCached():
                    await self._authenticator.cache(self.username, self.text)
        raise ServiceUnavailable("auth did not write the user into the cache")

    def _verify(self, user_id: str, epoch: int) -> None:
        self._verdict = self._authenticator.verify(self.text, self.token, user_id, epoch)
