"""Followers and their tags: one for ever, and known to the gateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imsg_contract import addresses
from imsg_contract.suppressions import Entry, Reason, Suppression, write_entries
from imsg_contract.topology import FOLLOWERS_COMPLETE, followers_key, left_key, suppressed_key
from imsg_runtime.redis import Redis, connect
from imsg_testing.waiting import eventually
from imsg_wechat.followers import Followers
from imsg_wechat.store import Store
from imsg_wechat.unfollows import Unfollows


async def members(redis: Redis, key: str) -> set[str]:
    return {member.decode() for member in await redis.call("SMEMBERS", key)}


@asynccontextmanager
async def mirroring(followers: Followers) -> AsyncIterator[None]:
    task = asyncio.create_task(followers.mirror())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_follower_keeps_the_tag_through_leaving_and_coming_back(followers: Followers, redis: Redis) -> None:
    tag = await followers.follow("main", "oA", 100)
    assert addresses.tag(tag) == tag
    assert tag in await members(redis, followers_key("main"))

    await followers.unfollow("main", "oA", 200)
    assert tag in await members(redis, left_key("main"))
    assert tag not in await members(redis, followers_key("main"))

    assert await followers.follow("main", "oA", 300) == tag
    assert tag in await members(redis, followers_key("main"))
    assert tag not in await members(redis, left_key("main"))


async def test_the_same_person_at_two_accounts_has_two_tags(followers: Followers) -> None:
    assert await followers.follow("main", "oA", 1) != await followers.follow("other", "oA", 1)


async def test_an_event_that_comes_late_changes_nothing(followers: Followers) -> None:
    tag = await followers.follow("main", "oA", 100)
    await followers.unfollow("main", "oA", 300)
    await followers.follow("main", "oA", 200)
    assert not (await followers.find_by_tags([tag]))[tag].following


async def test_a_stranger_who_leaves_gets_no_tag(followers: Followers) -> None:
    await followers.unfollow("main", "oA", 1)
    assert await followers.find_tag("main", "oA") is None


async def test_a_tag_that_is_taken_is_drawn_anew(store: Store) -> None:
    drawn = iter(["7K3-M9Q-2XF", "7K3-M9Q-2XF", "000-000-000"])
    store._draw = lambda: next(drawn)
    first = await store.follow("main", "oA", 1)
    second = await store.follow("main", "oB", 1)
    assert (first.tag, second.tag) == ("7K3-M9Q-2XF", "000-000-000")


async def test_many_first_events_at_once_make_one_tag(followers: Followers) -> None:
    tags = await asyncio.gather(*(followers.follow("main", "oA", 1) for _ in range(10)))
    assert len(set(tags)) == 1


async def test_what_redis_lost_is_written_again(followers: Followers, redis: Redis) -> None:
    here = await followers.follow("main", "oA", 1)
    gone = await followers.follow("main", "oB", 1)
    await followers.unfollow("main", "oB", 2)
    await redis.call("FLUSHDB")

    async def are_whole() -> bool:
        followed = {account: await members(redis, followers_key(account)) for account in ("main", "other")}
        wanted = {"main": {here, FOLLOWERS_COMPLETE}, "other": {FOLLOWERS_COMPLETE}}
        return followed == wanted and await members(redis, left_key("main")) == {gone}

    async with mirroring(followers):
        await eventually(are_whole)
        await redis.call("FLUSHDB")
        await eventually(are_whole)


async def test_what_redis_missed_is_mended_at_the_start(store: Store, redis: Redis) -> None:
    async with connect("redis://127.0.0.1:1/0") as away:
        tag = await Followers(store, away, ("main",)).follow("main", "oA", 1)
        await Followers(store, away, ("main",)).unfollow("main", "oA", 2)
    await redis.call("SADD", followers_key("main"), tag, FOLLOWERS_COMPLETE)

    async def is_right() -> bool:
        return tag not in await members(redis, followers_key("main")) and tag in await members(redis, left_key("main"))

    async with mirroring(Followers(store, redis, ("main",))):
        await eventually(is_right)


async def test_pages_reach_every_follower(store: Store) -> None:
    made = {(await store.follow("main", f"o{n}", 1)).tag for n in range(7)}
    found: list[str] = []
    while page := await store.list_page("main", found[-1] if found else "", 3):
        found += [follower.tag for follower in page]
    assert found == sorted(made)


async def test_an_unfollow_is_published_and_a_return_waits_until_the_list_holds_it(store: Store, redis: Redis) -> None:
    told: list[Suppression] = []

    async def publish(suppression: Suppression) -> None:
        told.append(suppression)
        key, entry = suppressed_key("wechat"), Entry(suppression.reason, suppression.sender, None)
        if suppression.lifts:
            asyncio.get_running_loop().call_later(0.1, lift.set)
        else:
            await redis.call("HSET", key, suppression.address, write_entries([entry]))

    async def lift_later() -> None:
        await lift.wait()
        await redis.call("DEL", suppressed_key("wechat"))

    lift = asyncio.Event()
    lifting = asyncio.create_task(lift_later())
    followers = Followers(store, redis, ("main",), unfollows=Unfollows(publish, redis, lift_timeout_s=60))
    tag = await followers.follow("main", "oA", 100)
    assert told == [], "a newcomer takes nothing back"
    await followers.unfollow("main", "oA", 200)
    await followers.follow("main", "oA", 300)

    assert await redis.call("EXISTS", suppressed_key("wechat")) == 0
    assert [
        (suppression.address, suppression.reason, suppression.sender, suppression.category, suppression.lifts)
        for suppression in told
    ] == [
        (tag, "unsubscribe", "main", None, False),
        (tag, "unsubscribe", "main", None, True),
    ]
    await followers.follow("main", "oA", 400)
    assert len(told) == 2, "whoever follows presses the button as often as they like"
    await lifting


async def test_a_lagging_suppression_list_blocks_a_follower_only_briefly(store: Store, redis: Redis) -> None:
    async def publish(_: Suppression) -> None:
        pass

    followers = Followers(store, redis, ("main",), unfollows=Unfollows(publish, redis))
    tag = await followers.follow("main", "oA", 100)
    await followers.unfollow("main", "oA", 200)
    entry = Entry(Reason.UNSUBSCRIBE, "main", None)
    await redis.call("HSET", suppressed_key("wechat"), tag, write_entries([entry]))
    assert await followers.follow("main", "oA", 300) == tag
    assert tag in await members(redis, followers_key("main"))


async def test_who_has_a_new_tag_is_still_known_by_the_old_one_for_a_while(followers: Followers) -> None:
    first = await followers.follow("main", "oA", 100)
    second = await followers.renew(first, 1_000)
    assert second is not None
    third = await followers.renew(second.tag, 5_000)
    assert third is not None
    assert await followers.find_tags("main", "oA", 4_000) == [third.tag, second.tag]
    assert await followers.find_tags("main", "oA", 500) == [third.tag, second.tag, first]
    assert await followers.find_tags("main", "oA", 5_001) == [third.tag]
    assert await followers.find_tags("main", "stranger", 0) == []
