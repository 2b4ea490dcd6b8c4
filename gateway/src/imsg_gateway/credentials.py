"""A credential of a request: its user, its verification, and the charges of its sends."""

from abc import ABC, abstractmethod
from datetime import tzinfo
from typing import NamedTuple

from imsg_contract.api_keys import CachedKey
from imsg_contract.errors import Refusal
from imsg_contract.roles import SENDERS, refuse_role
from imsg_contract.wire import Category
from imsg_gateway.limits import refuse_capped, refuse_exhausted
from imsg_limits.quota import (
    Capped,
    Charged,
    ChargeResult,
    CodesForbidden,
    Cost,
    CountryNotAllowed,
    Exhausted,
    SendingDisabled,
    StaleCategory,
    StaleToken,
    TokenRevoked,
    UserNotCached,
)
from imsg_runtime.logs import bind
from imsg_web.callers import Caller
from imsg_web.service_client import ServiceUnavailable

MAX_VERDICTS = 8_192
"""Tokens, and keys, that are remembered as verified: a few MiB."""

MAX_ROUNDS = 4
"""How often a user may be missing in the cache, or the epoch be another, before the gateway gives up: each is a change
made in that very moment."""


Refused = Exhausted | Capped | CountryNotAllowed | CodesForbidden | TokenRevoked


class DefaultCategoryChanged(Exception):  # noqa: N818  an outcome
    """The user's default category is another than the request was read by: read it again."""


class Owner(NamedTuple):
    """The user of a request."""

    username: str
    user_id: str
    events: int = 0
    """The events that are published, where a user sends for another; otherwise the charge returns them."""
    department: str = ""
    """The user's, in the same case."""


class Credential(ABC):
    """A token or key that may hold: of right form, not expired, perhaps verified before.

    Whether it holds now is Redis' to say: `authenticate` asks for that alone, `charge` in the step that counts.
    """

    def __init__(self, text: str, zone: tzinfo, default_categories: dict[str, Category]) -> None:
        """`zone` is that of the quotas' windows; `default_categories` holds those that a charge returned, by user."""
        self.text = text
        self.zone = zone
        self._caller: Caller | None = None
        self._default_categories = default_categories

    @property
    @abstractmethod
    def username(self) -> str:
        """The name of its user; of a key, once `owner` or `authenticate` has returned."""

    @property
    def key(self) -> CachedKey | None:
        """The key as it was verified; None for a token."""
        return None

    @property
    def is_test(self) -> bool:
        """Whether it is a test key, whose messages are not delivered."""
        return False

    def _bind(self) -> None:
        """Add the user and the key to each further line that this request logs."""
        bind(user=self.username, **({} if self.key is None else {"key": self.key.name}))

    @abstractmethod
    async def owner(self) -> Owner:
        """Return the user of a valid credential.

        One that was verified before needs no read of the cache. Raises like `authenticate`.
        """

    async def authenticate(self) -> Caller:
        """Settle the token or key, once. Raises Refusal token_invalid; ServiceUnavailable, RedisUnavailable.

        A key is also refused from another network than its own: Refusal network_not_allowed.
        """
        if self._caller is None:
            self._caller = await self._authenticate()
            self._bind()
        return self._caller

    async def authenticate_sender(self) -> None:
        """Settle it as `authenticate` does, and refuse a role that sends nothing: Refusal no_right."""
        if (await self.authenticate()).role not in SENDERS:
            raise refuse_role(SENDERS)

    @abstractmethod
    async def require(self, scope: str | None) -> None:
        """Refuse a key without a scope; None: whatever its scopes.

        Raises Refusal no_scope, not_by_key, and what `authenticate` raises.
        """

    @property
    def default_category(self) -> Category:
        """What the user's messages are in v1, as a charge returned it last; the charge of one checks it."""
        return self._default_categories.get(self.username, Category.NOTICE)

    def _cache_default_category(self, category: Category) -> None:
        if len(self._default_categories) >= MAX_VERDICTS:
            self._default_categories.clear()
        self._default_categories[self.username] = category

    async def charge(self, cost: Cost) -> Charged:
        """Count one request, if token or key, `available`, quotas and caps allow it, all in one step.

        Raises Refusal token_invalid, no_right, sending_disabled, may_not_send_codes, country_not_allowed and what
        `limits` knows; DefaultCategoryChanged, ServiceUnavailable, RedisUnavailable.
        """
        for _ in range(MAX_ROUNDS):
            match await self._charge(cost):
                case Charged() as charged:
                    return charged
                case StaleToken() as stale:
                    await self._verify_again(stale)
                case UserNotCached():
                    await self._cache()
                case StaleCategory() as current:
                    self._cache_default_category(current.category)
                    raise DefaultCategoryChanged
                case SendingDisabled():
                    await self.authenticate_sender()  # the cache holds a role that sends nothing as one who may not
                    raise Refusal("sending_disabled")
                case refused:
                    raise self._refuse(refused, cost)
        raise ServiceUnavailable("auth did not write the user into the cache")

    def _refuse(self, refused: Refused, cost: Cost) -> Refusal:
        match refused:
            case Exhausted():
                return refuse_exhausted(refused, cost.recipients, cost.segments, self.zone)
            case Capped():
                return refuse_capped(refused)
            case CountryNotAllowed():
                return Refusal("country_not_allowed", country=refused.country)
            case CodesForbidden():
                return Refusal("may_not_send_codes")
            case TokenRevoked():
                return Refusal("token_invalid")

    @abstractmethod
    async def _authenticate(self) -> Caller:
        """Verify it by the user cache. Raises like `authenticate`."""

    @abstractmethod
    async def _charge(self, cost: Cost) -> ChargeResult:
        """Charge the cost in Redis, once."""

    @abstractmethod
    async def _verify_again(self, stale: StaleToken) -> None:
        """Verify it by what the user cache has now. Raises Refusal."""

    @abstractmethod
    async def _cache(self) -> None:
        """Load the user into the cache through auth. Raises Refusal token_invalid, ServiceUnavailable."""
