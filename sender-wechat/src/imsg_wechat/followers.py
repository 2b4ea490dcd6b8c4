"""Followers and their tags: the table is mirrored to sets in Redis, which the gateway reads."""

import asyncio
import time
from collections.abc import Mapping, Sequence

from imsg_contract.topology import ERASED, FOLLOWERS_COMPLETE, followers_key, left_key
from imsg_database.unavailable import DatabaseUnavailable
from imsg_people.tombstones import Digests, Tombstones
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_wechat.store import Follower, RetiredTag, Store
from imsg_wechat.unfollows import Unfollows

CHECK_EVERY_S = 1.0
"""How often Redis is checked for lost sets."""

REBUILD_EVERY_S = 3_600.0
"""How often the sets are rebuilt in any case."""

MIRROR_TIMEOUT_S = 0.5
"""How long the reply to a follower waits for the mirror in Redis."""

PAGE = 1_000

SEEN = "imsg:wechat:seen:"
"""The prefix of the keys of processed messages; then come the account, and text with the openid."""

NO_DIGESTS = Digests(())

MAX_ROUNDS = 5
"""The most attempts to write one page until it equals the table, which may change meanwhile."""

log = logger(__name__)


class Followers:
    """The followers in the table, and their mirror in Redis."""

    def __init__(
        self,
        store: Store,
        redis: Redis,
        accounts: Sequence[str],
        digests: Digests = NO_DIGESTS,
        unfollows: Unfollows | None = None,
    ) -> None:
        """Mirror the followers of `accounts`; `digests` find erased tags (none without an erasure key)."""
        self._store = store
        self._unfollows = unfollows
        self._redis = redis
        self._problem = RecurringProblem(log, "follower_not_published", quiet_s=QUIET_S, level="info")
        self._accounts = tuple(accounts)
        self._tombstones = Tombstones(redis, digests)
        self._erased: Mapping[str, tuple[int, str]] | None = None
        self._stale = set(accounts)
        """Accounts whose sets may differ from the table; all of them at the start."""

    async def follow(self, account: str, openid: str, at: int) -> str:
        """Record a follower; return their tag. Raises DatabaseUnavailable."""
        before = await self._store.find(account, openid)
        follower = await self._store.follow(account, openid, at)
        if self._unfollows is not None and before is not None and follower.following and not before.following:
            await self._unfollows.return_(account, follower.tag, at)  # before the gateway accepts messages
        await self._mirror_changes([follower])
        return follower.tag

    async def unfollow(self, account: str, openid: str, at: int) -> None:
        """Record that a follower left; their tag stays. Raises DatabaseUnavailable."""
        follower = await self._store.unfollow(account, openid, at)
        if follower is not None:
            await self._mirror_changes([follower])
            if self._unfollows is not None and not follower.following:
                await self._unfollows.leave(account, follower.tag, at)

    async def find_tag(self, account: str, openid: str) -> str | None:
        """Return the tag of a follower; None for a stranger. Raises DatabaseUnavailable."""
        follower = await self._store.find(account, openid)
        return None if follower is None else follower.tag

    async def find_tags(self, account: str, openid: str, since: int) -> list[str]:
        """Return the tag of a follower, and earlier ones that ended at `since` or after; empty for a stranger.

        Raises DatabaseUnavailable.
        """
        tag = await self.find_tag(account, openid)
        return [] if tag is None else [tag, *await self._store.find_earlier_tags(tag, since)]

    async def find_by_tags(self, tags: Sequence[str]) -> dict[str, Follower]:
        """Find followers by their tags; unknown ones are absent. Raises DatabaseUnavailable."""
        return await self._store.find_by_tags(tags)

    async def find_retired(self, tags: Sequence[str]) -> dict[str, RetiredTag]:
        """Find which tags were renewed or revoked. Raises DatabaseUnavailable."""
        return await self._store.find_retired(tags)

    async def list_page(self, account: str | None, after: str, limit: int) -> list[Follower]:
        """Return a page of followers, including former ones. Raises DatabaseUnavailable."""
        return await self._store.list_page(account, after, limit)

    async def renew(self, tag: str, at: int) -> Follower | None:
        """Replace a follower's tag; return the follower, for a repeat the same, or None for an unknown tag.

        Raises DatabaseUnavailable.
        """
        follower = await self._store.renew(tag, at)
        if follower is not None:
            await self._mirror_changes([follower], retired=[RetiredTag(tag, follower.account, at, follower.tag)])
            if self._unfollows is not None and not follower.following:
                await self._unfollows.leave(follower.account, follower.tag, at)
        return follower

    async def revoke(self, tag: str, at: int) -> RetiredTag | None:
        """Revoke a tag; return None for an unknown one. Raises DatabaseUnavailable."""
        retired = await self._store.revoke(tag, at)
        if retired is not None:
            await self._mirror_changes([], retired=[retired])
        return retired

    async def mirror(self) -> None:
        """Write the sets at the start, when Redis lost them, and every `REBUILD_EVERY_S`, until cancelled."""
        written_at = time.monotonic()
        problem = RecurringProblem(log, "followers_not_published")
        while True:
            if time.monotonic() - written_at > REBUILD_EVERY_S:
                self._stale.update(self._accounts)
                written_at = time.monotonic()
            with problem.catch(DatabaseUnavailable, RedisUnavailable, RedisRefused):
                await self._erase()
                for account in self._accounts:
                    if account in self._stale or not await self._is_complete(account):
                        await self._rebuild(account)
            await asyncio.sleep(CHECK_EVERY_S)

    async def _erase(self) -> None:
        """Remove followers whose tags were erased, also from a restored table; report the progress to history."""
        if not self._tombstones.digests or await self._tombstones.count() == 0:
            return
        erased = await self._tombstones.read()
        if erased == self._erased:
            return
        for account in self._accounts:
            after = ""
            while page := await self._store.list_page(account, after, PAGE):
                after = page[-1].tag
                digests = await self._tombstones.digests.of_many(follower.tag for follower in page)
                removed = [row for row in page if any(digest in erased for digest in digests[row.tag])]
                if removed:
                    tags = [row.tag for row in removed]
                    before = await self._store.remove(tags)
                    await self._remove_from_redis(account, [*tags, *before], [row.openid for row in removed])
                    log.info("followers_erased", account=account, count=len(removed))
            await self._erase_retired(account, erased)
        await self._redis.call("HSET", ERASED, "wechat", max(at_ms for at_ms, _ in erased.values()))
        self._erased = erased

    async def _erase_retired(self, account: str, erased: Mapping[str, tuple[int, str]]) -> None:
        """Remove retired tags that were erased."""
        after = ""
        while page := await self._store.read_retired(account, after, PAGE):
            after = page[-1].tag
            digests = await self._tombstones.digests.of_many(row.tag for row in page)
            tags = [row.tag for row in page if any(digest in erased for digest in digests[row.tag])]
            if tags:
                before = await self._store.remove(tags)
                await self._remove_from_redis(account, [*tags, *before], [])

    async def _remove_from_redis(self, account: str, tags: Sequence[str], openids: Sequence[str]) -> None:
        """Remove tags from the sets, and the keys of seen messages of these openids."""
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
        """Write every row of an account to the sets. Tags that the table lacks are not removed: erasures do that."""
        self._stale.discard(account)
        count, after = 0, ""
        try:
            while page := await self._store.list_page(account, after, PAGE):
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

    async def _mirror_changes(self, followers: Sequence[Follower], retired: Sequence[RetiredTag] = ()) -> None:
        """Mirror rows that changed; without Redis the whole account is mirrored again later."""
        try:
            async with asyncio.timeout(MIRROR_TIMEOUT_S):
                await self._retire(retired)
                await self._mirror(followers)
        except (DatabaseUnavailable, RedisUnavailable, RedisRefused, TimeoutError) as error:
            self._stale.update([row.account for row in followers] + [row.account for row in retired])
            self._problem.report(error)
        else:
            self._problem.clear()

    async def _mirror(self, followers: Sequence[Follower]) -> None:
        """Write rows, then compare them with the table, which another replica may have changed in between.

        The replica that writes last also compares last, so the sets end equal to the table.
        """
        for _ in range(MAX_ROUNDS):
            await self._write(followers)
            now = await self._store.find_by_tags([follower.tag for follower in followers])
            if absent := [follower for follower in followers if follower.tag not in now]:
                await self._remove_absent(absent)
            followers = [follower for follower in followers if follower.tag in now]
            if all(now[follower.tag].following == follower.following for follower in followers):
                return
            followers = list(now.values())

    async def _remove_absent(self, followers: Sequence[Follower]) -> None:
        """Remove tags without a row: erased ones from the sets, retired ones as retired."""
        retired = await self._store.find_retired([row.tag for row in followers])
        await self._retire(list(retired.values()))
        for row in followers:
            if row.tag not in retired:
                await self._redis.call("SREM", followers_key(row.account), row.tag)
                await self._redis.call("SREM", left_key(row.account), row.tag)

    async def _retire(self, retired: Sequence[RetiredTag]) -> None:
        """Move tags to the set of former followers: the gateway refuses both with 10014."""
        for account in {row.account for row in retired}:
            tags = [row.tag for row in retired if row.account == account]
            await self._redis.call("SADD", left_key(account), *tags)
            await self._redis.call("SREM", followers_key(account), *tags)

    async def _write(self, followers: Sequence[Follower]) -> None:
        by_account: dict[str, tuple[list[str], list[str]]] = {}
        for follower in followers:
            following, unfollowed = by_account.setdefault(follower.account, ([], []))
            (following if follower.following else unfollowed).append(follower.tag)
        for account, (following, unfollowed) in by_account.items():
            calls = [
                *(
                    (("SADD", followers_key(account), *following), ("SREM", left_key(account), *following))
                    if following
                    else ()
                ),
                *(
                    (("SADD", left_key(account), *unfollowed), ("SREM", followers_key(account), *unfollowed))
                    if unfollowed
                    else ()
                ),
            ]
            await asyncio.gather(*(self._redis.call(*call) for call in calls))
