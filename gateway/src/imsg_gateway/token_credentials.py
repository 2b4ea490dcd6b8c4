"""Tokens of log-ins: the MAC is verified here, and whether the token was revoked is the user cache's to say."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from pydantic import SecretStr

from imsg_contract import roles, tokens
from imsg_contract.errors import Refusal
from imsg_contract.tokens import Token
from imsg_contract.wire import Category
from imsg_gateway.credentials import MAX_ROUNDS, MAX_VERDICTS, Credential, Owner
from imsg_limits.quota import CachedUser, ChargeResult, Cost, Quota, StaleToken, TokenRevoked, UserNotCached
from imsg_web.callers import Caller
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable


@dataclass(frozen=True, slots=True)
class Verdict:
    """A token whose MAC was right, and its user."""

    token: Token
    epoch: int
    user_id: str


class TokenAuthenticator:
    """Reads tokens, and remembers those whose MAC was right."""

    def __init__(
        self, quota: Quota, auth: Peer, keys: Sequence[SecretStr], zone: tzinfo, now: Callable[[], float]
    ) -> None:
        self.quota = quota
        self.zone = zone
        self.default_categories: dict[str, Category] = {}
        """The default categories of users, as charges returned them."""
        self._auth = auth
        self._keys = keys
        self._now = now
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()

    @property
    def remembered(self) -> int:
        """How many tokens' MACs are remembered."""
        return len(self._verdicts)

    def read(self, given: str, address: str) -> "TokenCredential":
        """Read a token as given, from the client's address. Raises Refusal token_invalid for what can't hold at all."""
        if (verdict := self._verdicts.get(given)) is not None:
            self._verdicts.move_to_end(given)
            if verdict.token.has_expired(self._now()):
                del self._verdicts[given]
                raise Refusal("token_invalid")
            return TokenCredential(self, given, verdict.token, address, verdict)
        token = tokens.parse(given)
        if token is None or token.has_expired(self._now()):
            raise Refusal("token_invalid")
        return TokenCredential(self, given, token, address, None)

    def verify(self, text: str, token: Token, user_id: str, epoch: int) -> Verdict:
        """Verify a token's MAC for an id and an epoch, and cache the verdict. Raises Refusal token_invalid."""
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

    async def cache(self, username: str, token: str | None) -> None:
        """Load a user into the cache through auth; with a token, only if auth accepts it.

        Raises Refusal token_invalid where the token is none of auth's, or there is no such user; ServiceUnavailable.
        """
        body = {"username": username} if token is None else {"username": username, "token": token}
        answer = await self._auth.call("POST", "/internal/user-cache", json=body)
        if answer.status_code in (401, 404):
            raise Refusal("token_invalid")
        if answer.status_code != 200:  # noqa: PLR2004  HTTP's own number
            raise ServiceFailed(f"auth answered {answer.status_code} to /internal/user-cache")


class TokenCredential(Credential):
    """A token of a log-in, which may do all that its user may."""

    def __init__(
        self, authenticator: TokenAuthenticator, text: str, token: Token, address: str, verdict: Verdict | None
    ) -> None:
        super().__init__(text, authenticator.zone, authenticator.default_categories)
        self.token = token
        self._authenticator = authenticator
        self._address = address
        self._verdict = verdict

    @property
    def username(self) -> str:
        """The name of the token's user."""
        return self.token.username

    async def owner(self) -> Owner:
        """Return the user of a valid token."""
        known = await self._require_verdict()
        if self._caller is None:
            self._bind()
        return Owner(self.username, known.user_id)

    async def require(self, scope: str | None) -> None:
        """Allow everything: scopes are for keys."""

    async def _authenticate(self) -> Caller:
        for _ in range(MAX_ROUNDS):
            match await self._authenticator.quota.read_cached_user(self.username, self.token.nonce):
                case CachedUser(epoch=epoch, role=role, user_id=user_id, since=since):
                    self._verify(user_id, epoch)
                    return Caller(self.username, roles.read(role), user_id, since, address=self._address)
                case TokenRevoked():
                    raise Refusal("token_invalid")
                case UserNotCached():
                    await self._cache()
        raise ServiceUnavailable("auth did not write the user into the cache")

    async def _charge(self, cost: Cost) -> ChargeResult:
        known = await self._require_verdict()
        return await self._authenticator.quota.charge(self.username, self.token.nonce, known.epoch, known.user_id, cost)

    async def _verify_again(self, stale: StaleToken) -> None:
        self._verify(stale.user_id, stale.epoch)

    async def _cache(self) -> None:
        await self._authenticator.cache(self.username, self.text)

    def _verify(self, user_id: str, epoch: int) -> None:
        self._verdict = self._authenticator.verify(self.text, self.token, user_id, epoch)

    async def _require_verdict(self) -> Verdict:
        if self._verdict is None:
            await self.authenticate()
        assert self._verdict is not None  # noqa: S101  _authenticate sets it
        return self._verdict
