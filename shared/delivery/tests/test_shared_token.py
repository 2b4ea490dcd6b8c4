"""A token that replicas share: fetched by one, ahead of its end, and used to its end where no other comes."""

import asyncio
import secrets
from collections.abc import Iterator

from pydantic import SecretStr

from imsg_delivery.shared_token import MARGIN_S, RETRY_S, SharedToken, Token
from imsg_runtime.redis import Redis
from imsg_runtime.sealing import Sealer

SEALER = Sealer((SecretStr("k" * 32),), "tokens")


class Issuer:
    """Gives tokens, or says why not."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.is_away = False
        self.calls = 0
        self._key = f"imsg:test:token:{secrets.token_hex(8)}"
        self._names: Iterator[str] = (f"token-{n}" for n in range(100))

    async def fetch(self) -> Token | int:
        """Give a token for an hour."""
        self.calls += 1
        await asyncio.sleep(0)
        return 503 if self.is_away else Token.of(next(self._names), 3_600, self.now)

    def share(self, redis: Redis) -> SharedToken[int]:
        """Return the token as a process sees it."""
        return SharedToken(redis, SEALER, self._key, self.fetch, lambda: self.now)


async def test_one_of_all_processes_fetches(redis: Redis) -> None:
    issuer = Issuer()
    processes = [issuer.share(redis) for _ in range(3)]
    assert {await process.get() for process in processes} == {"token-0"}
    found = await asyncio.gather(*(process.get("token-0") for process in processes for _ in range(5)))
    assert set(found) == {"token-1"}
    assert issuer.calls == 2


async def test_a_token_is_replaced_ahead_of_its_end_and_used_to_it_while_the_issuer_is_away(redis: Redis) -> None:
    issuer = Issuer()
    token = issuer.share(redis)
    assert await token.get() == "token-0"
    issuer.now += 3_600 - MARGIN_S + 1
    issuer.is_away = True
    assert [await token.get() for _ in range(3)] == ["token-0"] * 3
    assert issuer.calls == 2
    issuer.now += RETRY_S + 1
    issuer.is_away = False
    assert await token.get() == "token-1"
    issuer.is_away = True
    issuer.now += 3_600
    assert await token.get() == 503
