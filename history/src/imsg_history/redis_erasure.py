"""What Redis holds of people: records of Idempotency-Keys, the claims' words, and its log of all that was written."""

import asyncio
from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.addresses import identity
from imsg_contract.topology import BACKING_UP, REPLAYS
from imsg_contract.wire import Job
from imsg_delivery.claims import erasure as claims
from imsg_history import redact
from imsg_history.database import Database
from imsg_history.redaction import find
from imsg_history.tables import messages
from imsg_people.tombstones import Digests
from imsg_runtime.redis import Redis, RedisRefused

AT_ONCE = 500

LOOK_S = 0.2
REWRITE_TIMEOUT_S = 300.0
"""How long a rewrite of the log may take; minutes only for gigabytes."""


class NotNow(Exception):  # noqa: N818  a state of the world
    """The log may not be written anew at present; try again later."""


class RedisErasure:
    """Finds them by what is erased in the tables, and by the tombstones."""

    def __init__(self, redis: Redis, database: Database, digests: Digests) -> None:
        self._redis = redis
        self._database = database
        self._digests = digests

    async def remove(self) -> None:
        """Go through all of them. Raises RedisUnavailable, RedisRefused, DatabaseUnavailable."""
        await self._from_replays()
        async for some in claims.chunks(self._redis):
            requests = sorted({request for _, request in some})
            gone = await self._database.read(lambda connection, requests=requests: _find_erased(connection, requests))  # type: ignore[misc]
            for key, request in some:
                if request in gone:
                    await claims.strip(self._redis, key, gone[request])

    async def _from_replays(self) -> None:
        """Forget the record of what went to nobody else, and of a list the job that it was about to publish.

        The record of a list goes on to keep its repeat from being sent to all the others.
        """
        cursor: bytes | int = 0
        while True:
            cursor, keys = await self._redis.call("SCAN", cursor, "MATCH", f"{REPLAYS}*", "COUNT", AT_ONCE)
            records = await asyncio.gather(*(self._redis.call("HMGET", key, "id", "job") for key in keys))
            settled = {record[0].decode(): key for key, record in zip(keys, records, strict=True) if record[0]}
            names = sorted(settled)
            whole = await self._database.read(lambda connection, names=names: _whole(connection, names))  # type: ignore[misc]
            for name in whole:
                await self._redis.call("DEL", settled[name])
            for key, (_, job) in zip(keys, records, strict=True):
                if job is not None:
                    await self._from_job(key, job)
            if int(cursor) == 0:
                return

    async def _from_job(self, key: bytes, body: bytes) -> None:
        try:
            job = Job.model_validate_json(body)
        except ValueError:
            return
        digests = await self._digests.of_many(recipient.address for recipient in job.recipients)
        wanted = [digest for all_of in digests.values() for digest in all_of]
        erased = dict(await self._database.read(lambda connection: find(connection, wanted)))
        gone = {
            identity(address)
            for address, all_of in digests.items()
            if any(job.accepted_at <= erased[digest] for digest in all_of if digest in erased)
        }
        if not gone:
            return
        if redact.job(body, lambda address: identity(address) in gone) is None:
            await self._redis.call("DEL", key)
        else:
            await self._redis.call("HDEL", key, "job")

    async def rewrite_log(self) -> None:
        """Have Redis write its log anew, so that it holds only what stands; wait for it.

        Raises NotNow while a backup copies it, RedisRefused where the server does not do it for us, RedisUnavailable.
        """
        if await self._redis.call("EXISTS", BACKING_UP):
            raise NotNow("a backup copies the log")
        if not await self._says("aof_enabled:1"):
            return
        await self._until_none_runs()
        try:
            await self._redis.call("BGREWRITEAOF")
        except RedisRefused as refused:
            if "in progress" in str(refused) or "scheduled" in str(refused):
                raise NotNow(str(refused)) from refused
            raise
        await self._until_none_runs()
        if not await self._says("aof_last_bgrewrite_status:ok"):
            raise NotNow("the log could not be written anew")

    async def forget_backup(self) -> None:
        """Forget that a backup copies the log: in the copy itself that still stands.

        Raises RedisUnavailable, RedisRefused.
        """
        await self._redis.call("DEL", BACKING_UP)

    async def _until_none_runs(self) -> None:
        try:
            async with asyncio.timeout(REWRITE_TIMEOUT_S):
                while await self._says("aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1"):  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_S)
        except TimeoutError as error:
            raise NotNow("the log is written anew, and it takes long") from error

    async def _says(self, *lines: str) -> bool:
        said: bytes = await self._redis.call("INFO", "persistence")
        return any(line in said.decode().splitlines() for line in lines)


async def _find_erased(connection: AsyncConnection, requests: Sequence[str]) -> dict[str, list[int]]:
    """Say which recipients of these requests are erased."""
    query = select(messages.c.request, messages.c.n).where(
        messages.c.request.in_(requests), messages.c.erased_at.is_not(None)
    )
    found: dict[str, list[int]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.request, []).append(row.n)
    return found


async def _whole(connection: AsyncConnection, requests: Sequence[str]) -> list[str]:
    """Say of which of these requests every recipient is erased."""
    query = (
        select(messages.c.request)
        .where(messages.c.request.in_(requests))
        .group_by(messages.c.request)
        .having(func.count() == func.count(messages.c.erased_at))
    )
    return list(await connection.scalars(query))
