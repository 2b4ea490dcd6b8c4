"""Followers and tags on both databases, with two replicas."""

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from imsg_contract.addresses import make_tag
from imsg_contract.topology import followers_key, left_key
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import Redis
from imsg_wechat.bindings import CONFIRM_S, LIFE_S, Bindings
from imsg_wechat.followers import Followers
from imsg_wechat.migrations import MIGRATIONS
from imsg_wechat.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    """Run on both: isolation, types and order of texts differ."""
    return str(request.param)


@pytest.fixture
async def pair(database_url: str) -> AsyncIterator[tuple[Database, Database]]:
    """Open one database twice, both bringing it up to date at once, as two replicas do."""
    url = read_url(database_url)
    await asyncio.gather(*(asyncio.to_thread(migrate, url, MIGRATIONS) for _ in range(2)))
    async with connect(url, DatabaseOptions("test")) as one, connect(url, DatabaseOptions("test")) as other:
        yield one, other


def store(opened: Database, seed: int = 1) -> Store:
    random = Random(seed)  # noqa: S311  no secret
    return Store(opened, lambda: make_tag(random))


async def test_two_replicas_give_one_follower_one_tag(pair: tuple[Database, Database]) -> None:
    stores = [store(opened, seed) for seed, opened in enumerate(pair)]
    found = await asyncio.gather(*(stores[n % 2].follow("main", "oA", 1) for n in range(8)))
    assert len({follower.tag for follower in found}) == 1


async def test_two_replicas_that_draw_the_same_tag_give_it_once(pair: tuple[Database, Database]) -> None:
    stores = [store(opened, 1) for opened in pair]
    one, other = await asyncio.gather(stores[0].follow("main", "oA", 1), stores[1].follow("other", "oB", 1))
    assert one.tag != other.tag


async def test_openids_and_their_case_are_kept_apart(pair: tuple[Database, Database]) -> None:
    kept = store(pair[0])
    assert (await kept.follow("main", "oABC", 1)).tag != (await kept.follow("main", "oabc", 1)).tag


async def test_who_leaves_keeps_the_tag_and_what_is_older_changes_nothing(pair: tuple[Database, Database]) -> None:
    kept = store(pair[0])
    tag = (await kept.follow("main", "oA", 10)).tag
    left = await kept.unfollow("main", "oA", 20)
    assert left is not None
    assert (left.tag, left.following) == (tag, False)
    assert not (await kept.follow("main", "oA", 15)).following
    assert (await kept.follow("main", "oA", 20)).following
    assert await kept.unfollow("main", "oNobody", 1) is None


async def test_pages_and_tags_find_everybody(pair: tuple[Database, Database]) -> None:
    kept = store(pair[0])
    made = [(await kept.follow("main", f"o{n}", 1)).tag for n in range(12)]
    await kept.follow("other", "o1", 1)
    page = await kept.list_page("main", "", 5)
    assert [follower.tag for follower in page] == sorted(made)[:5]
    assert [follower.tag for follower in await kept.list_page("main", page[-1].tag, 50)] == sorted(made)[5:]
    assert set(await kept.find_by_tags([*made, "7K3-M9Q-2XF"])) == set(made)


async def test_a_renewed_tag_is_unused_and_renewing_it_again_returns_the_new_one(
    pair: tuple[Database, Database], redis: Redis
) -> None:
    replicas = [Followers(store(opened, seed), redis, ("main",)) for seed, opened in enumerate(pair)]
    old = await replicas[0].follow("main", "oA", 1)
    renewed = [
        follower for follower in await asyncio.gather(*(replicas[n % 2].renew(old, 5) for n in range(4))) if follower
    ]
    new = renewed[0].tag
    assert [follower.tag for follower in renewed] == [new] * 4
    assert new != old
    assert await replicas[0].find_tag("main", "oA") == new
    assert await redis.call("SMISMEMBER", left_key("main"), old, new) == [1, 0]
    assert await redis.call("SMISMEMBER", followers_key("main"), old, new) == [0, 1]
    newest = await replicas[0].renew(new, 6)
    assert newest is not None
    again = await replicas[1].renew(old, 7)
    assert again is not None
    assert again.tag == newest.tag, "however often"
    assert set(await replicas[1].find_retired([old, new, newest.tag])) == {old, new}


async def test_a_revoked_tag_is_unused_and_a_new_request_makes_another(
    pair: tuple[Database, Database], redis: Redis
) -> None:
    followers = Followers(store(pair[0]), redis, ("main",))
    old = await followers.follow("main", "oA", 1)
    for _ in range(2):
        revoked = await followers.revoke(old, 5)
        assert revoked is not None
        assert revoked.successor is None
    assert await followers.renew(old, 6) is None
    assert await followers.revoke("7K3-M9Q-2XF", 6) is None
    assert await redis.call("SISMEMBER", left_key("main"), old) == 1
    assert await followers.follow("main", "oA", 7) != old


async def test_a_retired_tag_is_never_drawn_again(pair: tuple[Database, Database]) -> None:
    kept = store(pair[0])
    old = (await kept.follow("main", "oA", 1)).tag
    await kept.revoke(old, 2)
    draws = iter([old, old, "4RT-W0A-9B5"])
    drawing = Store(pair[0], lambda: next(draws))
    assert (await drawing.follow("main", "oB", 3)).tag == "4RT-W0A-9B5"


async def test_a_removed_follower_is_removed_with_earlier_tags(pair: tuple[Database, Database]) -> None:
    kept = store(pair[0])
    first = (await kept.follow("main", "oA", 1)).tag
    second = await kept.renew(first, 2)
    assert second is not None
    third = await kept.renew(second.tag, 3)
    assert third is not None
    assert set(await kept.remove([third.tag])) == {first, second.tag}
    assert await kept.find_retired([first, second.tag]) == {}


async def test_a_code_belongs_to_its_first_scanner_and_expires(pair: tuple[Database, Database]) -> None:
    now = 1_000.0
    replicas = [Bindings(opened, lambda: now) for opened in pair]
    made = await replicas[0].make("main", "张三", "0" * 32)
    assert await replicas[0].scan("other", made.scene, "7K3-M9Q-2XF") is None
    tags = ["7K3-M9Q-2XF", "4RT-W0A-9B5"]
    scans = await asyncio.gather(*(replicas[n].scan("main", made.scene, tags[n]) for n in range(2)))
    (first,) = [scan for scan in scans if scan is not None]
    again = await replicas[0].scan("main", made.scene, str(first.tag))
    assert again == first, "WeChat repeats what was not answered"
    found = await replicas[1].find(made.id)
    assert found is not None
    assert (found.tag, found.state_at(now)) == (first.tag, "scanned")
    assert found.state_at(now + LIFE_S + CONFIRM_S) == "expired"
    assert (await replicas[1].confirm(found)).state_at(now + LIFE_S * 10) == "confirmed"
    other = await replicas[0].make("main", "张三", "0" * 32)
    now += LIFE_S
    assert await replicas[0].scan("main", other.scene, tags[0]) is None
    unseen = await replicas[0].find(other.id)
    assert unseen is not None
    assert unseen.state_at(now) == "expired"


async def test_replicas_that_process_follows_and_unfollows_leave_redis_as_the_table_is(
    pair: tuple[Database, Database], redis: Redis
) -> None:
    replicas = [Followers(store(opened), redis, ("main",)) for opened in pair]
    tag = await replicas[0].follow("main", "oA", 1)
    for second in range(2, 12):
        await asyncio.gather(
            replicas[second % 2].unfollow("main", "oA", second), replicas[1 - second % 2].follow("main", "oA", second)
        )
        follows = (await replicas[0].find_by_tags([tag]))[tag].following
        here = await redis.call("SISMEMBER", followers_key("main"), tag)
        gone = await redis.call("SISMEMBER", left_key("main"), tag)
        assert (bool(here), bool(gone)) == (follows, not follows), second


async def test_a_missing_database_is_reported_as_unavailable() -> None:
    async with connect(read_url("postgresql://imsg@127.0.0.1:1/imsg"), DatabaseOptions("test")) as nowhere:
        with pytest.raises(DatabaseUnavailable):
            await store(nowhere).find("main", "oA")
