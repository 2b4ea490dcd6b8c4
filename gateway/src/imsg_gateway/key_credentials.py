"""API keys: the user cache has each that is in force, with its scopes and networks."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo

from imsg_contract import api_keys, roles
from imsg_contract.api_keys import SEND, SEND_BY_ANY, ApiKey, CachedKey
from imsg_contract.errors import Refusal
from imsg_contract.wire import Category
from imsg_gateway.credentials import MAX_ROUNDS, MAX_VERDICTS, Credential, Owner
from imsg_gateway.key_usage import KeyUsage
from imsg_limits.quota import CachedUser, Charged, ChargeResult, Cost, Quota, StaleToken, TokenRevoked, UserNotCached
from imsg_web.callers import Caller, UsedKey
from imsg_web.clients import read_hop
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """A key found in the user cache, and its user."""

    parsed: ApiKey
    username: str
    key: CachedKey
    cached: bytes
    """The key as the user cache had it."""


class KeyAuthenticator:
    """Reads keys, and remembers those that the user cache had."""

    def __init__(self, quota: Quota, auth: Peer, zone: tzinfo, now: Callable[[], float]) -> None:
        self.quota = quota
        self.zone = zone
        self.default_categories: dict[str, Category] = {}
        """The default categories of users, as charges returned them."""
        self.usage = KeyUsage(auth)
        self._auth = auth
        self._now = now
        self._verdicts: OrderedDict[str, KeyVerdict] = OrderedDict()

    def read(self, given: str, address: str) -> "KeyCredential":
        """Read a key as given, from the client's address. Raises Refusal token_invalid for what can't hold at all."""
        verdict = self._verdicts.get(given)
        if verdict is not None:
            self._verdicts.move_to_end(given)
            if not verdict.key.has_expired(self._now()):
                return KeyCredential(self, given, verdict.parsed, address, verdict)
            del self._verdicts[given]
        key = api_keys.parse(given)
        if key is None:
            raise Refusal("token_invalid")
        return KeyCredential(self, given, key, address, None)

    def verify(self, text: str, parsed: ApiKey, username: str, found: CachedUser) -> KeyVerdict:
        """Verify a key against its user cache entry, and cache the verdict. Raises Refusal token_invalid."""
        key = None if found.key is None else CachedKey.model_validate_json(found.key)
        if key is None or found.key is None or found.user_id != parsed.user_id or key.has_expired(self._now()):
            self.forget(text)
            raise Refusal("token_invalid")
        verdict = self._verdicts[text] = KeyVerdict(parsed, username, key, found.key)
        if len(self._verdicts) > MAX_VERDICTS:
            self._verdicts.popitem(last=False)
        return verdict

    def forget(self, text: str) -> None:
        """Remove the verdict on a key that is not valid any more."""
        self._verdicts.pop(text, None)

    async def find_owner(self, key: ApiKey) -> str:
        """Load the user of a key into the cache through auth, and return the name.

        Raises Refusal token_invalid where the key is none of auth's; ServiceUnavailable.
        """
        body = {"user_id": key.user_id, "digest": key.digest}
        answer = await self._auth.call("POST", "/internal/keys/find", json=body)
        if answer.status_code == 401:  # noqa: PLR2004  HTTP's own number
            raise Refusal("token_invalid")
        if answer.status_code != 200:  # noqa: PLR2004
            raise ServiceFailed(f"auth answered {answer.status_code} to /internal/keys/find")
        username: str = answer.json()["username"]
        return username


class KeyCredential(Credential):
    """An API key, which may do what its scopes say, from its networks."""

    def __init__(
        self,
        authenticator: KeyAuthenticator,
        text: str,
        parsed: ApiKey,
        address: str,
        verdict: KeyVerdict | None,
    ) -> None:
        super().__init__(text, authenticator.zone, authenticator.default_categories)
        self._authenticator = authenticator
        self._parsed = parsed
        self._address = address
        self._verdict = verdict
        self._required: str | None = None

    @property
    def username(self) -> str:
        """The name of the key's user, once `owner` or `authenticate` has returned."""
        assert self._verdict is not None  # noqa: S101
        return self._verdict.username

    @property
    def key(self) -> CachedKey | None:
        """The key as it was verified."""
        return None if self._verdict is None else self._verdict.key

    @property
    def is_test(self) -> bool:
        """Whether it is a test key."""
        return self._parsed.kind == "test"

    async def owner(self) -> Owner:
        """Return the user of a valid key."""
        if self._verdict is None or not self._is_from_network(self._verdict.key):
            await self.authenticate()  # it may have been given the network since
        elif self._caller is None:
            self._bind()
        return Owner(self.username, self._parsed.user_id)

    async def require(self, scope: str | None) -> None:
        """Refuse the key without a scope."""
        if scope is None:
            await self.authenticate()
            raise Refusal("not_by_key")
        if self._verdict is None or scope not in self._verdict.key.scopes:
            await self.authenticate()  # it may have been given the scope since
        self._required = scope
        self._check_scope()

    async def _authenticate(self) -> Caller:
        username = None if self._verdict is None else self._verdict.username
        for _ in range(MAX_ROUNDS):
            if username is None:
                username = await self._authenticator.find_owner(self._parsed)
            match await self._authenticator.quota.read_cached_user(username, self._parsed.digest, is_key=True):
                case CachedUser() as found:
                    key = self._verify(username, found)
                    used = UsedKey(key.id, key.name)
                    role = roles.read(found.role)
                    return Caller(username, role, self._parsed.user_id, found.since, used, self._address)
                case TokenRevoked():
                    self._authenticator.forget(self.text)
                    raise Refusal("token_invalid")
                case UserNotCached():
                    username = None
        raise ServiceUnavailable("auth did not write the user into the cache")

    async def _charge(self, cost: Cost) -> ChargeResult:
        if self._verdict is None:
            await self.authenticate()
        known = self._verdict
        assert known is not None  # noqa: S101  _authenticate sets it
        result = await self._authenticator.quota.charge(
            known.username, known.parsed.digest, 0, known.parsed.user_id, cost, key=known.cached
        )
        if isinstance(result, TokenRevoked):
            self._authenticator.forget(self.text)
        elif isinstance(result, Charged):
            self._authenticator.usage.record(known.key.id, self._address)
        return result

    async def _verify_again(self, stale: StaleToken) -> None:
        del stale
        self._caller = None
        await self.authenticate()
        self._check_scope()

    async def _cache(self) -> None:
        await self._authenticator.find_owner(self._parsed)

    def _verify(self, username: str, found: CachedUser) -> CachedKey:
        self._verdict = self._authenticator.verify(self.text, self._parsed, username, found)
        key = self._verdict.key
        if not self._is_from_network(key):
            raise Refusal("network_not_allowed", address=self._address)
        self._authenticator.usage.record(key.id, self._address)
        return key

    def _check_scope(self) -> None:
        assert self._verdict is not None  # noqa: S101  callers authenticate first
        scopes = self._verdict.key.scopes
        if self._required == SEND_BY_ANY and any(scope.startswith(SEND) for scope in scopes):
            return
        if self._required is not None and self._required not in scopes:
            raise Refusal("no_scope", scope=self._required)

    def _is_from_network(self, key: CachedKey) -> bool:
        if not key.networks:
            return True
        address = read_hop(self._address)
        return address is not None and any(address in network for network in key.networks)
