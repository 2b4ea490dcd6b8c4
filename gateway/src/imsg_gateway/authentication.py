"""Whose token or key it is, whether it holds, and whether its user may send once more."""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple

from pydantic import SecretStr

from imsg_contract import api_keys, tokens
from imsg_contract.api_keys import ApiKey, CachedKey
from imsg_contract.errors import Refusal
from imsg_contract.tokens import Token
from imsg_gateway.key_usage import KeyUsage
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
from imsg_web.callers import Caller, UsedKey
from imsg_web.clients import read_hop
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

MAX_VERDICTS = 8_192
"""Tokens whose MAC is remembered: a few MiB."""

MAX_ROUNDS = 4
"""How often a user may be missing in the cache, or the epoch be another, before the gateway gives up: each is a change
made in that very moment."""


ChargeResult = Charged | Exhausted | SendingDisabled | CodesForbidden | StaleToken | UserNotCached | TokenRevoked


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


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """A key that the user cache had, and whose it is."""

    parsed: ApiKey
    username: str
    key: CachedKey
    cached: bytes
    """The key as the user cache had it."""


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
        self._key_verdicts: OrderedDict[str, KeyVerdict] = OrderedDict()
        self.key_usage = KeyUsage(auth)

    @property
    def remembered(self) -> int:
        """How many tokens' MACs are remembered."""
        return len(self._verdicts)

    def read(self, given: object, address: str) -> "Credential":
        """Read a token or key as given, from the client's address.

        Raises Refusal token_missing, and token_invalid for what can't hold at all.
        """
        if given is None:
            raise Refusal("token_missing")
        if not isinstance(given, str):
            raise Refusal("token_invalid")
        if given.startswith(api_keys.PREFIX):
            return self._read_key(given, address)
        if (verdict := self._verdicts.get(given)) is not None:
            self._verdicts.move_to_end(given)
            if verdict.token.has_expired(self._now()):
                del self._verdicts[given]
                raise Refusal("token_invalid")
            return TokenCredential(self, given, verdict.token, verdict)
        token_read = tokens.parse(given)
        if token_read is None or token_read.has_expired(self._now()):
            raise Refusal("token_invalid")
        return TokenCredential(self, given, token_read, None)

    def _read_key(self, given: str, address: str) -> "KeyCredential":
        verdict = self._key_verdicts.get(given)
        if verdict is not None:
            self._key_verdicts.move_to_end(given)
            if not verdict.key.has_expired(self._now()):
                return KeyCredential(self, given, verdict.parsed, address, verdict)
            del self._key_verdicts[given]
        key = api_keys.parse(given)
        if key is None:
            raise Refusal("token_invalid")
        return KeyCredential(self, given, key, address, None)

    def verify_key(self, text: str, parsed: ApiKey, username: str, found: CachedUser) -> KeyVerdict:
        """Hold a key against what the user cache has, and remember. Raises Refusal token_invalid."""
        key = None if found.key is None else CachedKey.model_validate_json(found.key)
        if key is None or found.key is None or found.user_id != parsed.user_id or key.has_expired(self._now()):
            self.forget_key(text)
            raise Refusal("token_invalid")
        verdict = self._key_verdicts[text] = KeyVerdict(parsed, username, key, found.key)
        if len(self._key_verdicts) > MAX_VERDICTS:
            self._key_verdicts.popitem(last=False)
        return verdict

    def forget_key(self, text: str) -> None:
        """Forget a key that does not hold any more."""
        self._key_verdicts.pop(text, None)

    async def find_key_owner(self, user_id: str, digest: str) -> str:
        """Have auth write the user of a key into the cache, and return the name.

        Raises Refusal token_invalid where the key is none of auth's; ServiceUnavailable.
        """
        asked = {"user_id": user_id, "digest": digest}
        answer = await self._auth.call("POST", "/internal/keys/find", json=asked)
        if answer.status_code == 401:  # noqa: PLR2004  HTTP's own number
            raise Refusal("token_invalid")
        if answer.status_code != 200:  # noqa: PLR2004
            raise ServiceFailed(f"auth answered {answer.status_code} to /internal/keys/find")
        username: str = answer.json()["username"]
        return username

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
            known = await self.quota.read_cached_user(username, "")
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
    """A token or key that may hold: of right form, not expired, perhaps verified before.

    Whether it holds now is Redis' to say: `authenticate` asks for that alone, `charge` in the step that counts.
    """

    def __init__(self, authenticator: Authenticator, text: str) -> None:
        self.text = text
        self._authenticator = authenticator
        self._caller: Caller | None = None

    @property
    def username(self) -> str:
        """Whose it is; of a key, once `owner` or `authenticate` has returned."""
        raise NotImplementedError

    @property
    def key(self) -> CachedKey | None:
        """The key as it was verified; None for a token."""
        return None

    async def owner(self) -> Owner:
        """Return whose it is, if it holds.

        Spares who was verified before a look at the cache. Raises like `authenticate`.
        """
        raise NotImplementedError

    async def authenticate(self) -> Caller:
        """Settle the token or key, once. Raises Refusal token_invalid; ServiceUnavailable, RedisUnavailable.

        A key is also refused from another network than its own: Refusal network_not_allowed.
        """
        if self._caller is None:
            self._caller = await self._judge()
        return self._caller

    async def require(self, scope: str | None) -> None:
        """Refuse a key without a scope; None: whatever its scopes.

        Raises Refusal no_scope, not_by_key, and what `authenticate` raises.
        """

    async def charge(
        self, recipients: int, kind: Kind | None = None, *, segments: int = 0, method: str = ""
    ) -> Charged:
        """Count one request, if token or key, `available` and quotas allow it, all in one step.

        `kind` is what it is one of. Raises Refusal token_invalid, sending_disabled, may_not_send_codes and what
        `limits` knows; ServiceUnavailable, RedisUnavailable.
        """
        for _ in range(MAX_ROUNDS):
            match await self._charge(recipients, kind, segments, method):
                case Charged() as charged:
                    return charged
                case Exhausted() as nothing_left:
                    raise refuse_exhausted(nothing_left, recipients, segments, self._authenticator.zone)
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

    async def _judge(self) -> Caller:
        raise NotImplementedError

    async def _charge(self, recipients: int, kind: Kind | None, segments: int, method: str) -> ChargeResult:
        raise NotImplementedError

    async def _verify_again(self, stale: StaleToken) -> None:
        raise NotImplementedError

    async def _cache(self) -> None:
        raise NotImplementedError


class TokenCredential(Credential):
    """A token of a log-in, which may do all that its user may."""

    def __init__(self, authenticator: Authenticator, text: str, token: Token, verdict: Verdict | None) -> None:
        super().__init__(authenticator, text)
        self.token = token
        self._verdict = verdict

    @property
    def username(self) -> str:
        """Whose it is."""
        return self.token.username

    async def owner(self) -> Owner:
        """Return whose it is, if it holds."""
        if self._verdict is None:
            await self.authenticate()
        assert self._verdict is not None  # noqa: S101  _judge sets it
        return Owner(self.username, self._verdict.user_id)

    async def _judge(self) -> Caller:
        for _ in range(MAX_ROUNDS):
            match await self._authenticator.quota.read_cached_user(self.username, self.token.nonce):
                case CachedUser(epoch=epoch, role=role, user_id=user_id, since=since):
                    self._verify(user_id, epoch)
                    return Caller(self.username, role == "admin", user_id, since)
                case TokenRevoked():
                    raise Refusal("token_invalid")
                case UserNotCached():
                    await self._cache()
        raise ServiceUnavailable("auth did not write the user into the cache")

    async def _charge(self, recipients: int, kind: Kind | None, segments: int, method: str) -> ChargeResult:
        if self._verdict is None:
            await self.authenticate()
        known = self._verdict
        assert known is not None  # noqa: S101  _judge sets it
        return await self._authenticator.quota.charge(
            self.username,
            self.token.nonce,
            known.epoch,
            recipients,
            known.user_id,
            kind=kind,
            segments=segments,
            method=method,
        )

    async def _verify_again(self, stale: StaleToken) -> None:
        self._verify(stale.user_id, stale.epoch)

    async def _cache(self) -> None:
        await self._authenticator.cache(self.username, self.text)

    def _verify(self, user_id: str, epoch: int) -> None:
        self._verdict = self._authenticator.verify(self.text, self.token, user_id, epoch)


class KeyCredential(Credential):
    """An API key, which may do what its scopes say, from its networks."""

    def __init__(
        self,
        authenticator: Authenticator,
        text: str,
        key: ApiKey,
        address: str,
        verdict: KeyVerdict | None,
    ) -> None:
        super().__init__(authenticator, text)
        self._parsed = key
        self._address = address
        self._verdict = verdict
        self._required: str | None = None

    @property
    def username(self) -> str:
        """Whose it is, once `owner` or `authenticate` has returned."""
        assert self._verdict is not None  # noqa: S101
        return self._verdict.username

    @property
    def key(self) -> CachedKey | None:
        """The key as it was verified."""
        return None if self._verdict is None else self._verdict.key

    async def owner(self) -> Owner:
        """Return whose it is, if it holds."""
        if self._verdict is None or not self._is_from_network(self._verdict.key):
            await self.authenticate()  # it may have been given the network since
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

    async def _judge(self) -> Caller:
        username = None if self._verdict is None else self._verdict.username
        for _ in range(MAX_ROUNDS):
            if username is None:
                username = await self._authenticator.find_key_owner(self._parsed.user_id, self._parsed.digest)
            match await self._authenticator.quota.read_cached_user(username, self._parsed.digest, is_key=True):
                case CachedUser() as found:
                    self._verify(username, found)
                    key = UsedKey(self._key.id, self._key.name)
                    return Caller(username, found.role == "admin", self._parsed.user_id, found.since, key)
                case TokenRevoked():
                    self._authenticator.forget_key(self.text)
                    raise Refusal("token_invalid")
                case UserNotCached():
                    username = None
        raise ServiceUnavailable("auth did not write the user into the cache")

    async def _charge(self, recipients: int, kind: Kind | None, segments: int, method: str) -> ChargeResult:
        if self._verdict is None:
            await self.authenticate()
        known = self._verdict
        assert known is not None  # noqa: S101  _judge sets it
        result = await self._authenticator.quota.charge(
            known.username,
            known.parsed.digest,
            0,
            recipients,
            known.parsed.user_id,
            kind=kind,
            key=known.cached,
            segments=segments,
            method=method,
        )
        if isinstance(result, TokenRevoked):
            self._authenticator.forget_key(self.text)
        elif isinstance(result, Charged):
            self._authenticator.key_usage.note(known.key.id, self._address)
        return result

    async def _verify_again(self, stale: StaleToken) -> None:
        del stale
        self._caller = None
        await self.authenticate()
        self._check_scope()

    async def _cache(self) -> None:
        await self._authenticator.find_key_owner(self._parsed.user_id, self._parsed.digest)

    @property
    def _key(self) -> CachedKey:
        assert self._verdict is not None  # noqa: S101  whoever asks has authenticated
        return self._verdict.key

    def _verify(self, username: str, found: CachedUser) -> None:
        self._verdict = self._authenticator.verify_key(self.text, self._parsed, username, found)
        if not self._is_from_network(self._key):
            raise Refusal("network_not_allowed", address=self._address)
        self._authenticator.key_usage.note(self._key.id, self._address)

    def _check_scope(self) -> None:
        if self._required is not None and self._required not in self._key.scopes:
            raise Refusal("no_scope", scope=self._required)

    def _is_from_network(self, key: CachedKey) -> bool:
        if not key.networks:
            return True
        address = read_hop(self._address)
        return address is not None and any(address in ipaddress.ip_network(network) for network in key.networks)
