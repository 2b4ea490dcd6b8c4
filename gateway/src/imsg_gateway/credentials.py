"""A credential of a request: whose it is, whether it holds, and the charge of what is sent by it."""

from abc import ABC, abstractmethod
from datetime import tzinfo
from typing import NamedTuple

from imsg_contract.api_keys import CachedKey
from imsg_contract.errors import Refusal
from imsg_gateway.limits import refuse_capped, refuse_exhausted
from imsg_limits.caps import CapCheck
from imsg_limits.quota import (
    Capped,
    Charged,
    CodesForbidden,
    Exhausted,
    Kind,
    SendingDisabled,
    StaleToken,
    TokenRevoked,
    UserNotCached,
)
from imsg_web.callers import Caller
from imsg_web.service_client import ServiceUnavailable

MAX_VERDICTS = 8_192
"""Tokens, and keys, that are remembered as verified: a few MiB."""

MAX_ROUNDS = 4
"""How often a user may be missing in the cache, or the epoch be another, before the gateway gives up: each is a change
made in that very moment."""

ChargeResult = (
    Charged | Exhausted | Capped | SendingDisabled | CodesForbidden | StaleToken | UserNotCached | TokenRevoked
)


class Cost(NamedTuple):
    """What a request is charged as."""

    recipients: int
    kind: Kind | None = None
    """What it is one of, where one user may send so many of them at once."""
    segments: int = 0
    method: str = ""
    cap: CapCheck | None = None
    is_test: bool = False
    """It is charged to the quota of tests alone."""


class Owner(NamedTuple):
    """Whose a request is."""

    username: str
    user_id: str
    events: int = 0
    """Which events of it somebody wants to hear, where another sends it for them; else the charge says it."""


class Credential(ABC):
    """A token or key that may hold: of right form, not expired, perhaps verified before.

    Whether it holds now is Redis' to say: `authenticate` asks for that alone, `charge` in the step that counts.
    """

    def __init__(self, text: str, zone: tzinfo) -> None:
        """`zone` is that of the quotas' windows."""
        self.text = text
        self.zone = zone
        self._caller: Caller | None = None

    @property
    @abstractmethod
    def username(self) -> str:
        """Whose it is; of a key, once `owner` or `authenticate` has returned."""

    @property
    def key(self) -> CachedKey | None:
        """The key as it was verified; None for a token."""
        return None

    @property
    def is_test(self) -> bool:
        """Whether it is a test key, whose messages reach nobody."""
        return False

    @abstractmethod
    async def owner(self) -> Owner:
        """Return whose it is, if it holds.

        Spares who was verified before a look at the cache. Raises like `authenticate`.
        """

    async def authenticate(self) -> Caller:
        """Settle the token or key, once. Raises Refusal token_invalid; ServiceUnavailable, RedisUnavailable.

        A key is also refused from another network than its own: Refusal network_not_allowed.
        """
        if self._caller is None:
            self._caller = await self._judge()
        return self._caller

    @abstractmethod
    async def require(self, scope: str | None) -> None:
        """Refuse a key without a scope; None: whatever its scopes.

        Raises Refusal no_scope, not_by_key, and what `authenticate` raises.
        """

    async def charge(self, cost: Cost) -> Charged:
        """Count one request, if token or key, `available`, quotas and caps allow it, all in one step.

        Raises Refusal token_invalid, sending_disabled, may_not_send_codes and what `limits` knows; ServiceUnavailable,
        RedisUnavailable.
        """
        for _ in range(MAX_ROUNDS):
            match await self._charge(cost):
                case Charged() as charged:
                    return charged
                case Exhausted() as nothing_left:
                    raise refuse_exhausted(nothing_left, cost.recipients, cost.segments, self.zone)
                case Capped() as capped:
                    raise refuse_capped(capped)
                case SendingDisabled():
                    raise Refusal("sending_disabled")
                case CodesForbidden():
                    raise Refusal("may_not_send_codes")
                case TokenRevoked():
                    raise Refusal("token_invalid")
                case StaleToken() as stale:
                    await self._verify_again(stale)
                case UserNotCached():
                    await self._cache()
        raise ServiceUnavailable("auth did not write the user into the cache")

    @abstractmethod
    async def _judge(self) -> Caller:
        """Verify it by the user cache. Raises like `authenticate`."""

    @abstractmethod
    async def _charge(self, cost: Cost) -> ChargeResult:
        """Ask Redis to count, once."""

    @abstractmethod
    async def _verify_again(self, stale: StaleToken) -> None:
        """Verify it by what the user cache has now. Raises Refusal."""

    @abstractmethod
    async def _cache(self) -> None:
        """Have auth write the user into the cache. Raises Refusal token_invalid, ServiceUnavailable."""
