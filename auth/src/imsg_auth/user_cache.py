"""The user cache: one hash a user in Redis, which gateways read, and which is never stale (promise 7)."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from ipaddress import ip_network

from imsg_auth.rows.keys import Key
from imsg_auth.rows.users import User
from imsg_auth.store import Rows, Store
from imsg_auth.tables import MAX_KEYS
from imsg_contract.api_keys import CachedKey, key_field
from imsg_contract.roles import SENDERS
from imsg_contract.topology import CAPS, QUOTAS_OF_ALL, WINDOWS, counts_key, user_key
from imsg_database.unavailable import DatabaseUnavailable
from imsg_limits.caps import encode_caps
from imsg_limits.quota import ALL_SENDERS, encode_rows, encode_user_rows
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisUnavailable, Script

log = logger(__name__)

LIMITS_LOOK_S = 2.0

FENCE_LIFE_S = 86_400
"""How long a fencing token is kept: far longer than a write can wait in Redis."""

SCAN_COUNT = 1000

_FORGET = Script.of("""
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
""")

_WRITE_LIMITS = Script.of("""
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('SET', KEYS[3], ARGV[3])
redis.call('SET', KEYS[4], ARGV[4])
return 1
""")

_WRITE = Script.of("""
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for at = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
return 1
""")


class UserCache:
    """Writes and deletes the entries.

    A change locks the user's row, calls `forget`, and commits. `write` locks the row, reads it and writes the entry. So
    no entry is written from a row that a change is about to replace.

    A write whose lock was lost (Redis too slow, the database's session closed) may still reach Redis after a later
    change. Therefore every `forget` sets a new fencing token, and a write names the token that it read under the lock,
    before the row: Redis ignores a write with an old token.
    """

    def __init__(self, store: Store, redis: Redis, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._redis = redis
        self._now = now
        self._problem = RecurringProblem(log, "user_cache_missing", quiet_s=QUIET_S)
        self._limits_problem = RecurringProblem(log, "limits_not_cached", quiet_s=QUIET_S)

    async def forget(self, username: str) -> None:
        """Delete an entry; call it in the changing transaction, after the row was locked. Raises RedisUnavailable."""
        await self._redis.run(_FORGET, _keys(username), [secrets.token_hex(8), FENCE_LIFE_S])

    async def forget_counts(self, username: str) -> None:
        """Delete the counts of an earlier user of this name. Raises RedisUnavailable."""
        await self._redis.call("DEL", counts_key(username))

    async def write(self, username: str) -> bool:
        """Write an entry from the row, and the installation's limits where Redis has none.

        Return False where there is no such user.

        Raises RedisUnavailable, DatabaseUnavailable.
        """
        key, fence_key = _keys(username)
        async with self._store.writing() as rows:
            if await rows.lock_user(username) is None:
                return False
            fence = await self._redis.call("GET", fence_key) or b""
            user = await rows.find_user(username)  # again: the answer proves that the lock still held
            if user is None:
                return False
            fields = await self._fields(rows, user)
            written = await self._redis.run(_WRITE, [key, fence_key], [fence, *fields])
        if not written:
            raise DatabaseUnavailable("the lock of a user's row was lost while the cache entry was written")
        if not await self._redis.call("EXISTS", QUOTAS_OF_ALL):
            await self.write_installation_limits()
        return True

    async def forget_installation_limits(self) -> None:
        """Delete the installation's quotas; call it in the changing transaction, after its limits were locked.

        No request is charged until they are written again. Raises RedisUnavailable.
        """
        await self._redis.run(_FORGET, _LIMITS_KEYS[:2], [secrets.token_hex(8), FENCE_LIFE_S])

    async def write_installation_limits(self) -> None:
        """Write the installation's limits from their row. Raises RedisUnavailable, DatabaseUnavailable."""
        async with self._store.writing() as rows:
            await rows.lock_installation_limits()
            fence = await self._redis.call("GET", _LIMITS_KEYS[1]) or b""
            limits = await rows.lock_installation_limits()  # again: the answer proves that the lock still held
            calendar = json.dumps({"windows": limits.windows, "holidays": limits.holidays})
            encoded = (encode_rows(limits.quotas), encode_caps(limits.caps), calendar)
            if not await self._redis.run(_WRITE_LIMITS, _LIMITS_KEYS, [fence, *encoded]):
                raise DatabaseUnavailable("the lock of the limits was lost while their cache entry was written")

    async def find(self, username: str) -> User | None:
        """Read a user without a lock. Raises DatabaseUnavailable."""
        async with self._store.reading() as rows:
            return await rows.find_user(username)

    async def watch_installation_limits(self) -> None:
        """Write the installation's limits whenever Redis has none, until cancelled: senders wait for their windows."""
        while True:
            try:
                is_there = await self._redis.call("EXISTS", QUOTAS_OF_ALL, WINDOWS) == len((QUOTAS_OF_ALL, WINDOWS))
            except RedisUnavailable:
                is_there = True  # nothing can be written
            if not is_there:
                await self.refresh_installation_limits()
            await asyncio.sleep(LIMITS_LOOK_S)

    async def refresh_installation_limits(self) -> None:
        """Write the installation's limits after a change, if possible; a gateway asks for missing ones."""
        with self._limits_problem.catch(RedisUnavailable, DatabaseUnavailable):
            await self.write_installation_limits()

    async def refresh(self, username: str) -> None:
        """Write an entry after a change, if possible; a gateway asks for a missing one."""
        with self._problem.catch(RedisUnavailable, DatabaseUnavailable):
            await self.write(username)

    async def forget_all(self) -> None:
        """Delete all entries, at start: the database may have been restored, or changed while Redis was down."""
        await self.forget_installation_limits()
        cursor: bytes | int = 0
        while True:
            cursor, keys = await self._redis.call("SCAN", cursor, "MATCH", f"{user_key('')}*", "COUNT", SCAN_COUNT)
            if keys:
                await self._redis.call("UNLINK", *keys)
            if int(cursor) == 0:
                return

    async def _fields(self, rows: Rows, user: User) -> list[str | int]:
        revoked = await rows.read_revoked(user.username, int(self._now()))
        keys = await rows.list_keys(user.username, None, MAX_KEYS)
        fields: dict[str, str | int] = {
            "id": user.id,
            "since": int(user.created_at.timestamp() * 1_000),
            "epoch": user.epoch,
            "role": user.role,
            "available": int(user.available and user.role in SENDERS),
            "quotas": encode_user_rows(user.quotas),
            "may_send_codes": int(user.may_send_codes),
            "events": user.events,
            "sms_countries": ",".join(user.sms_countries),
            "default_category": user.default_category,
            "department": user.department or "",
            "senders": ALL_SENDERS if user.senders is None else user.senders,
            **{f"revoked:{nonce}": expiry for nonce, expiry in revoked.items()},
            **{key_field(key.digest): _cached_key(key).model_dump_json() for key in keys},
        }
        return [part for pair in fields.items() for part in pair]


def _cached_key(key: Key) -> CachedKey:
    return CachedKey(
        id=key.id,
        name=key.name,
        kind=key.kind,
        scopes=key.scopes,
        networks=tuple(map(ip_network, key.networks)),
        expires_at=None if key.expires_at is None else int(key.expires_at.timestamp()),
    )


_LIMITS_KEYS = [QUOTAS_OF_ALL, f"imsg:fence:{{{QUOTAS_OF_ALL}}}", CAPS, WINDOWS]


def _keys(username: str) -> list[str]:
    key = user_key(username)
    return [key, f"imsg:fence:{{{key}}}"]
