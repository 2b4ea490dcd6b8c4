"""Followers and tags: kept in the table, and mirrored to Redis, where the gateway asks who follows."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from imsg_contract.topology import ERASED, FOLLOWERS_COMPLETE, followers_key, left_key
from imsg_database.unavailable import DatabaseUnavailable
from imsg_people.tombstones import Digests, Tombstones
from imsg_runtime.logs import Recurring, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_wechat.departures import Departures
from imsg_wechat.store import Follower, Retired, Store

LOOK_EVERY_S = 1.0
"""How soon it is seen that Redis has lost the sets."""

REBUILD_EVERY_S = 3_600.0
"""How often the sets are written anew although nothing seems wrong with them."""

MIRROR_PATIENCE_S = 0.5
"""How long somebody who asks for a tag waits for Redis to know of it too."""

PAGE = 1_000

SEEN = "imsg:wechat:seen:"
"""What the key of a message that was seen begins with; its account follows, and then an openid is in it."""

NO_DIGESTS = Digests(())

MAX_ROUNDS = 5
"""How often one page is written until it is what the table says; each round more needs a change in between."""

log = logger(__name__)


class Followers:
    """Who follows. The table decides; Redis mirrors it."""

    def __init__(
        self,
        store: Store,
        redis: Redis,
        accounts: Sequence[str],
        digests: Digests = NO_DIGESTS,
        departures: Departures | None = None,
    ) -> None:
        """`digests` tells who was erased; without a key nobody is. `departures` hears who leaves and comes back."""
        self._store = store
        self._departures = departures
        self._redis = redis
        self._accounts = tuple(accounts)
        self._tombstones = Tombstones(redis, digests)
        self._erased: Mapping[str, tuple[int, str]] | None = None
        self._stale = set(accounts)
        """Accounts whose sets may not be what the table says; at the start nobody knows."""

    async def follows(self, account: str, openid: str, at: int) -> str:
        """Note that somebody follows; return their tag. Raises DatabaseUnavailable."""
        before = await self._store.of(account, openid)
        follower = await self._store.follows(account, openid, at)
        if self._departures is not None and before is not None and follower.following and not before.following:
            await self._departures.come_back(account, follower.tag, at)  # before the gateway lets messages in
        await self._tell([follower])
        return follower.tag

    async def leaves(self, account: str, openid: str, at: int) -> None:
        """Note that somebody has left; the tag stays theirs. Raises DatabaseUnavailable."""
        follower = await self._store.leaves(account, openid, at)
        if follower is not None:
            await self._tell([follower])
            if self._departures is not None and not follower.following:
                await self._departures.leave(account, follower.tag, at)

    async def tag_of(self, account: str, openid: str) -> str | None:
        """Return the tag of somebody who has one. Raises DatabaseUnavailable."""
        follower = await self._store.of(account, openid)
        return None if follower is None else follower.tag

    async def tags_of(self, account: str, openid: str, since: int) -> list[str]:
        """Return the tag of somebody, and those they had at `since` or after; none for a stranger.

        Raises DatabaseUnavailable.
        """
        tag = await self.tag_of(account, openid)
        return [] if tag is None else [tag, *await self._store.tags_before(tag, since)]

    async def by_tags(self, tags: Sequence[str]) -> dict[str, Follower]:
        """Find followers by their tags; unknown ones are absent. Raises DatabaseUnavailable."""
        return await self._store.by_tags(tags)

    async def find_retired(self, tags: Sequence[str]) -> dict[str, Retired]:
        """Find which tags were renewed or revoked. Raises DatabaseUnavailable."""
        return await self._store.find_retired(tags)

    async def page(self, account: str | None, after: str, limit: int) -> list[Follower]:
        """Read a page of followers, those who have left too. Raises DatabaseUnavailable."""
        return await self._store.page(account, after, limit)

    async def renew(self, tag: str, at: int) -> Follower | None:
        """Give whoever has a tag another one, also where it is asked again; None where nobody has it.

        Raises DatabaseUnavailable.
        """
        follower = await self._store.renew(tag, at)
        if follower is not None:
            await self._tell([follower], retired=[Retired(tag, follower.account, at, follower.tag)])
            if self._departures is not None and not follower.following:
                await self._departures.leave(follower.account, follower.tag, at)
        return follower

    async def revoke(self, tag: str, at: int) -> Retired | None:
        """Take a tag from whoever has it; None for nobody's. Raises DatabaseUnavailable."""
        retired = await self._store.revoke(tag, at)
        if retired is not None:
            await self._tell([], retired=[retired])
        return retired

    async def keep_mirrored(self) -> None:
        """Write the sets at the start, whenever Redis lost them, and now and then anyway, as long as we live."""
        written_at = time.monotonic()
        trouble = Recurring(log, "followers_not_published")
        while True:
            if time.monotonic() - written_at > REBUILD_EVERY_S:
                self._stale.update(self._accounts)
                written_at = time.monotonic()
            try:
                await self._erase()
                for account in self._accounts:
                    if account in self._stale or not await self._is_complete(account):
                        await self._rebuild(account)
            except (DatabaseUnavailable, RedisUnavailable, RedisRefused) as error:
                trouble.note(error)
            else:
                trouble.clear()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _erase(self) -> None:
        """Remove followers whose tags were erased, also what a restored table brought back; tell history so."""
        if not self._tombstones.digests or await self._tombstones.count() == 0:
            return
        erased = await self._tombstones.read()
        if erased == self._erased:
            return
        for account in self._accounts:
            after = ""
            while page := await self._store.page(account, after, PAGE):
                after = page[-1].tag
                digests = await self._tombstones.digests.of_many(follower.tag for follower in page)
                gone = [one for one in page if any(digest in erased for digest in digests[one.tag])]
                if gone:
                    before = await self._store.remove([one.tag for one in gone])
                    await self._forget(account, [*(one.tag for one in gone), *before], [one.openid for one in gone])
                    log.info("followers_erased", account=account, count=len(gone))
            await self._erase_retired(account, erased)
        await self._redis.call("HSET", ERASED, "wechat", max(at_ms for at_ms, _ in erased.values()))
        self._erased = erased

    async def _erase_retired(self, account: str, erased: Mapping[str, tuple[int, str]]) -> None:
        """Remove what is left of tags that were erased after they had been retired."""
        after = ""
        while page := await self._store.read_retired(account, after, PAGE):
            after = page[-1].tag
            digests = await self._tombstones.digests.of_many(one.tag for one in page)
            gone = [one.tag for one in page if any(digest in erased for digest in digests[one.tag])]
            if gone:
                before = await self._store.remove(gone)
                await self._forget(account, [*gone, *before], [])

    async def _forget(self, account: str, tags: Sequence[str], openids: Sequence[str]) -> None:
        """Take followers out of Redis: their tags, and what was seen of their openids."""
        await asyncio.gather(
            self._redis.call("SREM", followers_key(account), *tags), self._redis.call("SREM", left_key(account), *tags)
        )
        cursor: bytes | int = 0
        while True:
            cursor, keys = await self._redis.call("SCAN", cursor, "MATCH", f"{SEEN}{account}:*", "COUNT", PAGE)
            seen = [key for key in keys if any(openid in key.decode(errors="replace") for openid in openids)]
            if seen:
                await self._redis.call("DEL", *seen)
            if int(cursor) == 0:
                return

    async def _is_complete(self, account: str) -> bool:
        return bool(await self._redis.call("SISMEMBER", followers_key(account), FOLLOWERS_COMPLETE))

    async def _rebuild(self, account: str) -> None:
        """Write every row; nothing else is in the sets, since whoever is erased is taken out by name."""
        self._stale.discard(account)
        count, after = 0, ""
        try:
            while page := await self._store.page(account, after, PAGE):
                await self._mirror(page)
                count, after = count + len(page), page[-1].tag
            after = ""
            while retired := await self._store.read_retired(account, after, PAGE):
                await self._retire(retired)
                after = retired[-1].tag
            await self._redis.call("SADD", followers_key(account), FOLLOWERS_COMPLETE)
        except BaseException:
            self._stale.add(account)
            raise
        log.info("followers_published", account=account, followers=count)

    async def _tell(self, followers: Sequence[Follower], retired: Sequence[Retired] = ()) -> None:
        """Mirror what has just changed; where Redis is away, all of it is mirrored again once it is back."""
        try:
            async with asyncio.timeout(MIRROR_PATIENCE_S):
                await self._retire(retired)
                await self._mirror(followers)
        except (DatabaseUnavailable, RedisUnavailable, RedisRefused, TimeoutError) as error:
            self._stale.update(one.account for one in followers)
            self._stale.update(one.account for one in retired)
            log.info("follower_not_published", why=str(error) or "Redis took too long")

    async def _mirror(self, followers: Sequence[Follower]) -> None:
        """Write, then look whether the table still says the same: another replica may have been between the two.

        Whoever writes last has looked after it, so that the sets end as the table is.
        """
        for _ in range(MAX_ROUNDS):
            await self._write(followers)
            now = await self._store.by_tags([follower.tag for follower in followers])
            if absent := [follower for follower in followers if follower.tag not in now]:
                await self._unwrite(absent)
            followers = [follower for follower in followers if follower.tag in now]
            if all(now[follower.tag].following == follower.following for follower in followers):
                return
            followers = list(now.values())

    async def _unwrite(self, followers: Sequence[Follower]) -> None:
        """Take out tags that are in no row any more: of who was erased for good, and retired ones as such."""
        retired = await self._store.find_retired([one.tag for one in followers])
        await self._retire(list(retired.values()))
        for one in followers:
            if one.tag not in retired:
                await self._redis.call("SREM", followers_key(one.account), one.tag)
                await self._redis.call("SREM", left_key(one.account), one.tag)

    async def _retire(self, retired: Sequence[Retired]) -> None:
        """Say of tags that nobody follows by them: to the gateway they are as of one who has left (10014)."""
        for account in {one.account for one in retired}:
            tags = [one.tag for one in retired if one.account == account]
            await self._redis.call("SADD", left_key(account), *tags)
            await self._redis.call("SREM", followers_key(account), *tags)

    async def _write(self, followers: Sequence[Follower]) -> None:
        by_account: dict[str, tuple[list[str], list[str]]] = {}
        for follower in followers:
            here, gone = by_account.setdefault(follower.account, ([], []))
            (here if follower.following else gone).append(follower.tag)
        for account, (here, gone) in by_account.items():
            calls = [
                *((("SADD", followers_key(account), *here), ("SREM", left_key(account), *here)) if here else ()),
                *((("SADD", left_key(account), *gone), ("SREM", followers_key(account), *gone)) if gone else ()),
            ]
            await asyncio.gather(*(self._redis.call(*call) for call in calls))
