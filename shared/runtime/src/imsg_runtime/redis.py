"""Redis for the services: one connection whose concurrent calls share a pipeline, and Lua scripts by hash.

A connection on which a server said that it may not write for now is closed: behind the same name, or at the
Sentinels, another may be found that may.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import redis.asyncio
import redis.asyncio.sentinel
import redis.exceptions

from imsg_contract.topology import WRITABLE
from imsg_runtime import redis_address
from imsg_runtime.logs import logger
from imsg_runtime.redis_address import Sentinels
from imsg_runtime.redis_pipe import Answer, Call, Pipe
from imsg_runtime.redis_pipe import Argument as Argument  # noqa: PLC0414  others name what they call by

log = logger(__name__)

CALL_TIMEOUT_S = 2.0
"""How long one call may take before Redis counts as away: far above a healthy fsync, below a client's patience."""

MAX_BATCH = 256
"""Calls that are written at once; more wait for the next, so that a burst can't grow one reply without bound."""

AT_ONCE = 1
"""Batches that wait for their answers at once: who comes meanwhile shares the next."""

AWAY = (redis.exceptions.RedisError, OSError, TimeoutError, RuntimeError)
"""What the client raises where the server is gone; uvloop has a RuntimeError for writing to a connection just lost."""

SENTINEL_TIMEOUT_S = 0.5
"""How long one Sentinel may take to answer, so that two that are gone leave time for the third."""

PROBE_S = 1.0
"""How often `watch` looks whether Redis takes a write."""

DEMOTED = ("READONLY", "LOADING", "MASTERDOWN")
"""What a server answers that is no master any more or not yet (Redis' error codes): look for it anew."""

FULL = ("NOREPLICAS", "MISCONF", "OOM", "CLUSTERDOWN")
"""What a server answers that takes no write for now: too few replicas, a disk that fails, no memory left."""

_CODES = {
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
}
"""The library takes the code off the texts of errors that it knows."""


class RedisUnavailable(Exception):  # noqa: N818  a state of the world, not a fault of the call
    """Redis did not answer, or takes no writes for now; whether the call was carried out is not known."""


class RedisRefused(Exception):  # noqa: N818
    """Redis answered a call with an error: a bug of ours, or rights that it lacks."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and its SHA-1; runs in one atomic step on the server."""

    source: str
    sha: str

    @classmethod
    def of(cls, source: str) -> "Script":
        """Make a script of its source."""
        return cls(source, hashlib.sha1(source.encode()).hexdigest())  # noqa: S324  EVALSHA names scripts so


@dataclass(frozen=True, slots=True)
class Read:
    """A read that shares a command with others of the same key: `Read("HMGET", KEY, FIELDS)`, as SMISMEMBER's too."""

    command: str
    key: str
    fields: Sequence[Argument] = ()


class Redis:
    """Calls by name and arguments, answers as bytes. Calls made in the same turn of the loop share one round trip."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._waiting: list[Call] = []
        self._reads: dict[tuple[str, str], _Reads] = {}
        self._is_due = False
        """Whether what waits is written at the end of this turn of the loop."""
        self._connection: redis.asyncio.connection.AbstractConnection | None = None
        self._pipe: Pipe | None = None
        self._opening: asyncio.Task[None] | None = None
        self._has_answered = asyncio.Event()
        self._takes_writes = False
        self.refusal = ""
        """With what words Redis did not take the last probe of `watch`; empty where it took it."""

    @property
    def takes_writes(self) -> bool:
        """Whether Redis took the last probe of `watch`."""
        return self._takes_writes

    async def watch(self) -> None:
        """Look again and again whether Redis takes writes, for readiness: a demoted one answers and takes none."""
        while True:
            try:
                await self.call("SET", WRITABLE, 1, "PX", 10_000)
                self._turn(takes_writes=True)
            except (RedisRefused, RedisUnavailable) as error:  # each service has the right to this key
                self._turn(takes_writes=False, why=str(error))
            await asyncio.sleep(PROBE_S)

    def _turn(self, *, takes_writes: bool, why: str = "") -> None:
        if takes_writes != self._takes_writes and (why or takes_writes):
            log.info("redis_takes_writes") if takes_writes else log.warning("redis_takes_no_writes", why=why)
        self._takes_writes, self.refusal = takes_writes, why

    async def call(self, *command: Argument) -> Any:  # noqa: ANN401  Redis' own reply
        """Carry out one command, such as `call("HGET", key, field)`; the reply is the server's own, INFO one text.

        Raises RedisUnavailable where no answer came in time, RedisRefused where the server answered with an error.
        """
        return _accept(await self._send(command))

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        """Run a script by its hash, loading it where the server does not know it (flushed, restarted, failed over).

        Raises like call.
        """
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except RedisRefused as refused:
            if not isinstance(refused.__cause__, redis.exceptions.NoScriptError):
                raise
        return await self.call("EVAL", script.source, len(keys), *keys, *arguments)

    async def run_and_read(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], reads: Sequence[Read]
    ) -> tuple[Any, list[Any]]:
        """Run a script, and read something after it in the same round trip; return all replies. Raises like call."""
        command = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        ran, found = await self._send_and_read(command, reads)
        if isinstance(ran, redis.exceptions.NoScriptError):
            ran, found = await self._send_and_read(("EVAL", script.source, *command[2:]), reads)
        return _accept(ran), [_accept(one) for one in found]

    async def _send_and_read(self, command: tuple[Argument, ...], reads: Sequence[Read]) -> tuple[Any, list[Any]]:
        sent, asked = self._send(command), [self._read(read) for read in reads]
        try:
            return await sent, [await one for one in asked]
        except BaseException:
            for one in asked:
                if not one.cancel() and not one.cancelled():
                    one.exception()  # the same as the script's: said once is enough
            raise

    def _read(self, read: Read) -> asyncio.Future[Any]:
        reads = self._reads.get((read.command, read.key))
        if reads is None:
            reads = self._reads[read.command, read.key] = _Reads(read.command, read.key)
        return reads.add(read.fields)

    async def close(self) -> None:
        """End, once nothing is on its way any more, not even calls whose callers gave up; bounded by their time."""
        if self._opening is not None:
            await asyncio.wait({self._opening})
        while self._pipe is not None and self._pipe.batches:
            self._has_answered.clear()
            await self._has_answered.wait()
        if self._pipe is not None:
            self._pipe.close("we are ending")
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def _send(self, command: tuple[Argument, ...]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        self._call_flush()
        return future

    def _go_on(self) -> None:
        self._has_answered.set()
        self._call_flush()

    def _call_flush(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Write what waits: all calls of a turn of the loop together, reads of the same key as one behind them."""
        self._is_due = False
        if not self._waiting and not self._reads:
            return
        if self._pipe is None or not self._pipe.is_open:
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
            return
        while (self._waiting or self._reads) and self._pipe.batches < AT_ONCE:
            batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
            if not self._waiting:
                batch += [(reads.command, reads) for reads in self._reads.values()]
                self._reads = {}
            self._pipe.carry_out(batch)

    async def _open(self) -> None:
        """Connect, or tell all who wait that there is nobody."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                self._pipe = await self._dial()
        except AWAY as error:
            self._give_up_waiting(str(error) or type(error).__name__)
        except BaseException:  # a bug, or being cancelled: no caller waits for ever
            self._give_up_waiting("the call was broken off")
            raise
        finally:
            self._opening = None
        self._flush()

    async def _dial(self) -> Pipe:
        """Make the one connection, anew where it was lost: by the pool, so that Sentinels are asked each time."""
        if self._connection is None:
            self._connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        else:
            await self._connection.disconnect(nowait=True)
            await self._connection.connect()  # type: ignore[no-untyped-call]
        return Pipe(
            self._connection,
            timeout_s=CALL_TIMEOUT_S,
            on_answered=self._go_on,
            is_last=lambda error: _code(error) in DEMOTED,
            give_up=_give_up,
        )

    def _give_up_waiting(self, why: str) -> None:
        waiting: list[Answer] = [answer for _, answer in self._waiting]
        waiting += self._reads.values()
        self._waiting, self._reads = [], {}
        _give_up(waiting, why)


class _Reads:
    """Reads of one key that are made as one."""

    def __init__(self, command: str, key: str) -> None:
        self._words: list[Argument] = [command, key]
        self._parts: list[tuple[asyncio.Future[Any], int]] = []

    @property
    def command(self) -> tuple[Argument, ...]:
        """The one read."""
        return tuple(self._words)

    def add(self, fields: Sequence[Argument]) -> asyncio.Future[Any]:
        """Read these too."""
        self._words += fields
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._parts.append((future, len(fields)))
        return future

    def done(self) -> bool:
        """Tell whether nobody waits any more."""
        return all(future.done() for future, _ in self._parts)

    def set_result(self, reply: Any, /) -> None:  # noqa: ANN401  Redis' own
        """Give each what it asked for; an error to all of them."""
        at = 0
        for future, count in self._parts:
            if not future.done():
                future.set_result(reply[at : at + count] if isinstance(reply, list) and count else reply)
            at += count

    def set_exception(self, error: Exception, /) -> None:
        """Say why there is none."""
        for future, _ in self._parts:
            if not future.done():
                future.set_exception(error)


def _code(error: redis.exceptions.RedisError) -> str:
    """Name the code of an error, such as READONLY; what is none is the first word of a sentence."""
    known = next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
    return known or str(error).partition(" ")[0]


def _accept(reply: Any) -> Any:  # noqa: ANN401
    if not isinstance(reply, redis.exceptions.RedisError):
        return reply
    if (code := _code(reply)) in DEMOTED or code in FULL:
        said = str(reply).removeprefix(code).strip()
        raise RedisUnavailable(f"Redis takes no writes for now: {code} {said}") from reply
    raise RedisRefused(str(reply)) from reply


def _give_up(waiting: Sequence[Answer], why: str) -> None:
    """Tell those who still wait that there will be no answer."""
    for answer in waiting:
        if not answer.done():
            answer.set_exception(RedisUnavailable(f"Redis did not answer: {why}"))


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Redis]:
    """Open a connection for as long as the context lasts; it is made at the first call and again after a loss.

    `url` is a server's, or `redis+sentinel://h1,h2,h3/NAME`: then every new connection goes to whom the Sentinels name.
    """
    options: dict[str, Any] = {
        "decode_responses": False,
        "socket_timeout": None,  # a whole batch has one, CALL_TIMEOUT_S
        "socket_connect_timeout": CALL_TIMEOUT_S,
        "retry": None,
        "health_check_interval": 0,
    }
    sentinels = redis_address.read(url)
    found = None if sentinels is None else _ask(sentinels)
    if sentinels is None or found is None:
        client = redis.asyncio.Redis.from_url(url, **options)
    else:
        own: dict[str, Any] = {"db": sentinels.db, "username": sentinels.username, "password": sentinels.password}
        client = found.master_for(sentinels.name, **options, **own, ssl=sentinels.has_tls)
    calls = Redis(client)
    try:
        yield calls
    finally:
        await calls.close()  # a connection that is just being made would outlive its pool
        await client.aclose()
        for one in found.sentinels if found is not None else ():
            await one.aclose()


def _ask(sentinels: Sentinels) -> redis.asyncio.sentinel.Sentinel:
    return redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
        sentinels.hosts,
        sentinel_kwargs={
            "username": sentinels.sentinel_username,
            "password": sentinels.sentinel_password,
            "socket_timeout": SENTINEL_TIMEOUT_S,
            "socket_connect_timeout": SENTINEL_TIMEOUT_S,
            "ssl": sentinels.has_tls,
            "retry": None,
        },
    )
