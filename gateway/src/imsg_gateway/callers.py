"""Whose token it is, whether it holds, and whether its user may send once more."""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import tzinfo

from pydantic import SecretStr

from imsg_gateway.limits import exhausted
from imsg_shared import tokens
from imsg_shared.errors import Refusal
from imsg_shared.peers import Caller, Peer, PeerAway, PeerFailed
from imsg_shared.quota import Charged, Disabled, Exhausted, Known, NoMirror, Quota, Revoked, Stale
from imsg_shared.tokens import Token

MAX_VERDICTS = 8_192
"""Tokens whose MAC is remembered: a few MiB."""

MAX_ROUNDS = 4
"""How often a mirror may be missing or the epoch be another before the gateway gives up: each is a change made in
that very moment."""


class Callers:
    """Judges tokens by the users' mirrors in Redis; asks auth for a mirror that is missing."""

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
        self._verdicts: OrderedDict[str, tuple[Token, int]] = OrderedDict()

    @property
    def remembered(self) -> int:
        """How many tokens' MACs are remembered."""
        return len(self._verdicts)

    def claim(self, given: object) -> "Claim":
        """Read a token as given. Raises Refusal token_missing, and token_invalid for what can't hold at all."""
        if given is None:
            raise Refusal("token_missing")
        if not isinstance(given, str):
            raise Refusal("token_invalid")
        if (verdict := self._verdicts.get(given)) is not None:
            self._verdicts.move_to_end(given)
            token, epoch = verdict
            if token.has_expired(self._now()):
                del self._verdicts[given]
                raise Refusal("token_invalid")
            return Claim(self, given, token, epoch)
        token_read = tokens.parse(given)
        if token_read is None or token_read.has_expired(self._now()):
            raise Refusal("token_invalid")
        return Claim(self, given, token_read, None)

    def verify(self, text: str, token: Token, epoch: int) -> None:
        """Hold a token's MAC against an epoch, and remember. Raises Refusal token_invalid."""
        verdict = self._verdicts.get(text)
        if verdict is not None and verdict[1] == epoch:
            return
        if not tokens.verify(token, epoch, self._keys):
            self._verdicts.pop(text, None)
            raise Refusal("token_invalid")
        self._verdicts[text] = (token, epoch)
        if len(self._verdicts) > MAX_VERDICTS:
            self._verdicts.popitem(last=False)

    async def mirror(self, username: str) -> None:
        """Have auth write a user's mirror. Raises Refusal token_invalid where there is no such user, PeerAway."""
        answer = await self._auth.call("POST", "/internal/mirror", json={"username": username})
        if answer.status_code == 404:  # noqa: PLR2004  HTTP's own numbers
            raise Refusal("token_invalid")
        if answer.status_code != 200:  # noqa: PLR2004
            raise PeerFailed(f"auth answered {answer.status_code} to /internal/mirror")


class Claim:
    """A token that may hold: of right form, not expired, its MAC perhaps verified before.

    Whether it holds now is Redis' to say: `judged` asks for that alone, `charge` in the step that counts.
    """

    def __init__(self, callers: Callers, text: str, token: Token, epoch: int | None) -> None:
        self.text = text
        self.username = token.username
        self._callers = callers
        self.token = token
        self._epoch = epoch
        self._caller: Caller | None = None

    async def judged(self) -> Caller:
        """Settle the token, once. Raises Refusal token_invalid; PeerAway, RedisAway."""
        if self._caller is None:
            self._caller = await self._judge()
        return self._caller

    async def charge(self, recipients: int) -> Charged:
        """Count one request, if token, `available` and limits allow it, all in one step.

        Raises Refusal token_invalid, sending_disabled and what `limits` knows; PeerAway, RedisAway.
        """
        if self._epoch is None:
            await self.judged()
        for _ in range(MAX_ROUNDS):
            epoch = self._epoch
            assert epoch is not None  # noqa: S101  judged sets it
            match await self._callers.quota.charge(self.username, self.token.nonce, epoch, recipients):
                case Charged() as charged:
                    return charged
                case Exhausted() as nothing_left:
                    raise exhausted(nothing_left, recipients, self._callers.zone)
                case Disabled():
                    raise Refusal("sending_disabled")
                case Revoked():
                    raise Refusal("token_invalid")
                case Stale(epoch=present):
                    self._verify(present)
                case NoMirror():
                    await self._callers.mirror(self.username)
        raise PeerAway("the user's mirror is not to be had")

    async def _judge(self) -> Caller:
        for _ in range(MAX_ROUNDS):
            match await self._callers.quota.peek(self.username, self.token.nonce):
                case Known(epoch=epoch, role=role):
                    self._verify(epoch)
                    return Caller(self.username, is_admin=role == "admin")
                case Revoked():
                    raise Refusal("token_invalid")
                case NoMirror():
                    await self._callers.mirror(self.username)
        raise PeerAway("the user's mirror is not to be had")

    def _verify(self, epoch: int) -> None:
        self._callers.verify(self.text, self.token, epoch)
        self._epoch = epoch
