"""A lease belongs to one process until it is released or expires."""

import secrets

from imsg_runtime.lease import Lease
from imsg_runtime.redis import connect
from imsg_testing.waiting import eventually


async def test_one_holds_it_until_it_is_given_up(valkey_url: str) -> None:
    async with connect(valkey_url) as redis:
        key = f"lease:{secrets.token_hex(4)}"
        one, other = Lease(redis, key, "one", 120), Lease(redis, key, "other", 120)
        assert await one.acquire()
        assert await one.acquire(), "it is renewed"
        assert not await other.acquire()
        await other.give_up()
        assert not await other.acquire(), "nobody gives up what another has"
        await one.give_up()
        assert await other.acquire()


async def test_what_is_not_renewed_falls_to_another(valkey_url: str) -> None:
    async with connect(valkey_url) as redis:
        key = f"lease:{secrets.token_hex(4)}"
        assert await Lease(redis, key, "killed", 0.05).acquire()
        other = Lease(redis, key, "other", 30)
        await eventually(other.acquire)
