"""Erasure from Redis: records of Idempotency-Keys, claim records, and the append-only file."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy import Select, func, select

from imsg_contract.addresses import identity
from imsg_contract.topology import BACKING_UP, REPLAYS
from imsg_contract.wire import Job
from imsg_delivery.claims import erasure as claims
from imsg_history import redaction
from imsg_history.batch_redaction import find_erased
from imsg_history.database import Database
from imsg_history.tables import messages
from imsg_people.tombstones import Digests
from imsg_runtime.redis import Redis, RedisRefused

AT_ONCE = 500

POLL_S = 0.2
REWRITE_TIMEOUT_S = 300.0
"""How long a rewrite of the append-only file may take; gigabytes take minutes."""


class RewritePostponed(Exception):  # noqa: N818  a state of the world
    """Redis can't rewrite its append-only file now; try again later."""


class RedisErasure:
    """Removes people from Redis, by what was erased in the tables, and by tombstones."""

    def __init__(self, redis: Redis, database: Database, digests: Digests) -> None:
        self._redis = redis
        self._database = database
        self._digests = digests

    async def remove(self) -> None:
        """Remove erased people from all records. Raises RedisUnavailable, RedisRefused, DatabaseUnavailable."""
        await self._erase_from_replays()
        async for chunk in claims.chunks(self._redis):
            requests = sorted({request for _, request in chunk})
            is_erased = messages.c.request.in_(requests), messages.c.erased_at.is_not(None)
            erased: defaultdict[str, list[int]] = defaultdict(list)
            for row in await self._database.fetch(select(messages.c.request, messages.c.n).where(*is_erased)):
                erased[row.request].append(row.n)
            for key, request in chunk:
                if request in erased:
                    await claims.strip(self._redis, key, erased[request])

    async def _erase_from_replays(self) -> None:
        """Delete the record of a request whose recipients are all erased; of other lists delete the job.

        The rest of a list's record stays, so that a repeated call still sends nothing twice to the others.
        """
        cursor: bytes | int = 0
        while True:
            cursor, keys = await self._redis.call("SCAN", cursor, "MATCH", f"{REPLAYS}*", "COUNT", AT_ONCE)
            records = await asyncio.gather(*(self._redis.call("HMGET", key, "id", "job") for key in keys))
            settled = {record[0].decode(): key for key, record in zip(keys, records, strict=True) if record[0]}
            names = sorted(settled)
            wholly_erased = await self._database.fetch(_select_wholly_erased(names))
            for row in wholly_erased:
                await self._redis.call("DEL", settled[row.request])
            for key, (_, job) in zip(keys, records, strict=True):
                if job is not None:
                    await self._erase_from_job(key, job)
            if int(cursor) == 0:
                return

    async def _erase_from_job(self, key: bytes, body: bytes) -> None:
        try:
            job = Job.model_validate_json(body)
        except ValueError:
            return
        jobs = (job, *(leg.job for leg in job.fallback))
        digests = await self._digests.of_many(recipient.address for job in jobs for recipient in job.recipients)
        wanted = [digest for all_of in digests.values() for digest in all_of]
        erased = dict(await self._database.read(lambda connection: find_erased(connection, wanted)))
        gone = {
            identity(address)
            for address, all_of in digests.items()
            if any(job.accepted_at <= erased[digest] for digest in all_of if digest in erased)
        }
        if not gone:
            return
        if redaction.redact_job(body, lambda address: identity(address) in gone) is None:
            await self._redis.call("DEL", key)
        else:
            await self._redis.call("HDEL", key, "job")

    async def rewrite_log(self) -> None:
        """Rewrite Redis's append-only file without deleted data, and wait for the end.

        Raises RewritePostponed while a backup copies the file, RedisRefused where the server does not allow it, and
        RedisUnavailable.
        """
        if await self._redis.call("EXISTS", BACKING_UP):
            raise RewritePostponed("a backup copies the append-only file")
        if not await self._info_has("aof_enabled:1"):
            return
        await self._until_none_runs()
        try:
            await self._redis.call("BGREWRITEAOF")
        except RedisRefused as refused:
            if "in progress" in str(refused) or "scheduled" in str(refused):
                raise RewritePostponed(str(refused)) from refused
            raise
        await self._until_none_runs()
        if not await self._info_has("aof_last_bgrewrite_status:ok"):
            raise RewritePostponed("the rewrite of the append-only file failed")

    async def forget_backup(self) -> None:
        """Delete the mark of a backup: a restored copy still holds it. Raises RedisUnavailable, RedisRefused."""
        await self._redis.call("DEL", BACKING_UP)

    async def _until_none_runs(self) -> None:
        try:
            async with asyncio.timeout(REWRITE_TIMEOUT_S):
                while await self._info_has("aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1"):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise RewritePostponed("the rewrite of the append-only file takes long") from error

    async def _info_has(self, *lines: str) -> bool:
        info: bytes = await self._redis.call("INFO", "persistence")
        return any(line in info.decode().splitlines() for line in lines)


def _select_wholly_erased(requests: Sequence[str]) -> Select[tuple[str]]:
    """Select those of these requests whose recipients are all erased."""
    return (
        select(messages.c.request)
        .where(messages.c.request.in_(requests))
        .group_by(messages.c.request)
        .having(func.count() == func.count(messages.c.erased_at))
    )
