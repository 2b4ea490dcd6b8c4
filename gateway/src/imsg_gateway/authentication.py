"""The credential of a request, a token or a key; and the owner of a request that another user makes."""

import time
from collections.abc import Callable, Sequence
from datetime import tzinfo

from pydantic import SecretStr

from imsg_contract import api_keys
from imsg_contract.errors import Refusal
from imsg_gateway.credentials import MAX_ROUNDS, Credential, Owner
from imsg_gateway.key_credentials import KeyAuthenticator
from imsg_gateway.token_credentials import TokenAuthenticator
from imsg_limits.quota import CachedUser, Quota
from imsg_web.service_client import Peer, ServiceUnavailable


class Authenticator:
    """Checks tokens and keys by the user cache in Redis; has auth write who is missing there."""

    def __init__(
        self,
        quota: Quota,
        auth: Peer,
        keys: Sequence[SecretStr],
        zone: tzinfo,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`keys` sign tokens; `zone` is that of the quotas' windows."""
        self._quota = quota
        self._tokens = TokenAuthenticator(quota, auth, keys, zone, now)
        self._keys = KeyAuthenticator(quota, auth, zone, now)
        self.key_usage = self._keys.usage

    def read(self, given: object, address: str) -> Credential:
        """Read a token or key as given, from the client's address.

        Raises Refusal token_missing, and token_invalid for what can't hold at all.
        """
        if given is None:
            raise Refusal("token_missing")
        if not isinstance(given, str):
            raise Refusal("token_invalid")
        if given.startswith(api_keys.PREFIX):
            return self._keys.read(given, address)
        return self._tokens.read(given, address)

    async def find_owner(self, username: str, user_id: str) -> Owner:
        """Return the user of an id and name, with the events that callbacks wants of what others send for the user.

        Raises ServiceUnavailable, RedisUnavailable.
        """
        for _ in range(MAX_ROUNDS):
            known = await self._quota.read_cached_user(username, "")
            if isinstance(known, CachedUser):
                is_same = known.user_id == user_id
                return Owner(username, user_id, known.events, known.department) if is_same else Owner(username, user_id)
            try:
                await self._tokens.cache(username, None)
            except Refusal:  # removed
                return Owner(username, user_id)
        raise ServiceUnavailable("auth did not write the user into the cache")
