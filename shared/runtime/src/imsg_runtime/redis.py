"""Redis for the services: one connection whose concurrent calls share a pipeline, and Lua scripts by hash.

A connection to a server that accepts no writes is closed: behind the same name, or by the Sentinels, another server
may be found that does.
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
from imsg_runtime.redis_pipe import Argument as Argument  # noqa: PLC0414  others name what they call by
from imsg_runtime.redis_pipe import Call, Pipe, ReplyFuture

log = logger(__name__)

CALL_TIMEOUT_S = 2.0
"""How long one call may take before Redis counts as away: far above a healthy fsync, below a client's patience."""

MAX_BATCH = 256
"""Calls that are written at once; more wait for the next, so that a burst can't grow one reply without bound."""

AT_ONCE = 1
"""Batches that wait for their answers at once: who comes meanwhile shares the next."""

AWAY = (redis.exceptions.RedisError, OSError, TimeoutError, RuntimeError)
"""Errors of a lost server; uvloop raises RuntimeError for a write to a connection that was just lost."""

SENTINEL_TIMEOUT_S = 0.5
"""How long one Sentinel may take to answer, so that two lost ones leave time for the third."""

PROBE_S = 1.0
"""How often `watch` probes whether Redis accepts a write."""

DEMOTED = ("READONLY", "LOADING", "MASTERDOWN")
"""Redis' error codes of a server that is not the master: the master is looked up again."""

FULL = ("NOREPLICAS", "MISCONF", "OOM", "CLUSTERDOWN")
"""Redis' error codes of a server that accepts no writes now: too few replicas, a failing disk, no memory."""

_CODES = {
    redis.exceptions.ReadOnlyError: "READONLY",
    redis.exceptions.BusyLoadingError: "LOADING",
    redis.exceptions.MasterDownError: "MASTERDOWN",
    redis.exceptions.OutOfMemoryError: "OOM",
    redis.exceptions.ClusterDownError: "CLUSTERDOWN",
}
"""The codes of redis-py's errors, which it strips from their texts."""


class RedisUnavailable(Exception):  # noqa: N818  a state of the world, not a fault of the call
    """Redis did not answer, or accepts no writes now; whether the call was executed is not known."""


class RedisRefused(Exception):  # noqa: N818
    """Redis answered a call with an error: a bug, or a missing right."""


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and its SHA-1; the server runs it in one atomic step."""

    source: str
    sha: str

    @classmethod
    def of(cls, source: str) -> "Script":
        """Return the script of a source."""
        return cls(source, hashlib.sha1(source.encode()).hexdigest())  # noqa: S324  EVALSHA names scripts so


@dataclass(frozen=True, slots=True)
class Read:
    """A read that shares a command with others of the same key: `Read("HMGET", KEY, FIELDS)`, as SMISMEMBER's too."""

    command: str
    key: str
    fields: Sequence[Argument] = ()


class Redis:
    """Calls by command and arguments, with replies as bytes. Calls of one turn of the event loop share a round trip."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._client = client
        self._waiting: list[Call] = []
        self._reads: dict[tuple[str, str], _Reads] = {}
        self._is_due = False
        """Whether waiting calls are written at the end of this turn of the event loop."""
        self._connection: redis.asyncio.connection.AbstractConnection | None = None
        self._pipe: Pipe | None = None
        self._opening: asyncio.Task[None] | None = None
        self._has_answered = asyncio.Event()
        self._takes_writes = False
        self.refusal = ""
        """Why Redis refused the last probe of `watch`; empty where it accepted it."""

    @property
    def takes_writes(self) -> bool:
        """Whether Redis accepted the last probe of `watch`."""
        return self._takes_writes

    async def watch(self) -> None:
        """Probe for ever whether Redis accepts writes, for readiness: a demoted server answers and accepts none."""
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
        """Run one command, such as `call("HGET", key, field)`, and return the server's reply; that of INFO is one text.

        Raises RedisUnavailable without an answer in time, RedisRefused where the server answered with an error.
        """
        return _accept(await self._send(command))

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:  # noqa: ANN401
        """Run a script by its hash; load it where the server does not know it (flushed, restarted, failed over).

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
        """Run a script and then reads in the same round trip; return all replies. Raises like call."""
        command = ("EVALSHA", script.sha, len(keys), *keys, *arguments)
        ran, replies = await self._send_and_read(command, reads)
        if isinstance(ran, redis.exceptions.NoScriptError):
            ran, replies = await self._send_and_read(("EVAL", script.source, *command[2:]), reads)
        return _accept(ran), [_accept(reply) for reply in replies]

    async def _send_and_read(self, command: tuple[Argument, ...], reads: Sequence[Read]) -> tuple[Any, list[Any]]:
        sent, replies = self._send(command), [self._read(read) for read in reads]
        try:
            return await sent, [await sentinel for sentinel in replies]
        except BaseException:
            for sentinel in replies:
                if not sentinel.cancel() and not sentinel.cancelled():
                    sentinel.exception()  # the same as the script's: one message is enough
            raise

    def _read(self, read: Read) -> asyncio.Future[Any]:
        reads = self._reads.get((read.command, read.key))
        if reads is None:
            reads = self._reads[read.command, read.key] = _Reads(read.command, read.key)
        return reads.add(read.fields)

    async def close(self) -> None:
        """Close the connection once all calls have ended, also cancelled ones; bounded by their time-outs."""
        if self._opening is not None:
            await asyncio.wait({self._opening})
        while self._pipe is not None and self._pipe.batches:
            self._has_answered.clear()
            await self._has_answered.wait()
        self._fail_waiting("we are ending")  # else they would open another connection
        if self._pipe is not None:
            self._pipe.close("we are ending")
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    def _send(self, command: tuple[Argument, ...]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, future))
        self._call_flush()
        return future

    def _continue_sending(self) -> None:
        self._has_answered.set()
        self._call_flush()

    def _call_flush(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Write the waiting calls of a turn of the loop together, and behind them the reads of each key as one."""
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
        """Connect, or fail the waiting calls."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                self._pipe = await self._dial()
        except AWAY as error:
            self._fail_waiting(str(error) or type(error).__name__)
        except BaseException:  # a bug, or being cancelled: no caller waits for ever
            self._fail_waiting("the call was broken off")
            raise
        finally:
            self._opening = None
        self._flush()

    async def _dial(self) -> Pipe:
        """Open the connection, by the pool, so that Sentinels are asked each time."""
        if self._connection is None:
            self._connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        else:
            await self._connection.disconnect(nowait=True)
            await self._connection.connect()  # type: ignore[no-untyped-call]
        return Pipe(
            self._connection,
            timeout_s=CALL_TIMEOUT_S,
            on_answered=self._continue_sending,
            is_last=lambda error: _code(error) in DEMOTED,
            give_up=_fail_all,
        )

    def _fail_waiting(self, why: str) -> None:
        waiting: list[ReplyFuture] = [answer for _, answer in self._waiting]
        waiting += self._reads.values()
        self._waiting, self._reads = [], {}
        _fail_all(waiting, why)


class _Reads:
    """Reads of one key, combined into one."""

    def __init__(self, command: str, key: str) -> None:
        self._words: list[Argument] = [command, key]
        self._parts: list[tuple[asyncio.Future[Any], int]] = []

    @property
    def command(self) -> tuple[Argument, ...]:
        """The combined read."""
        return tuple(self._words)

    def add(self, fields: Sequence[Argument]) -> asyncio.Future[Any]:
        """Add fields to read."""
        self._words += fields
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._parts.append((future, len(fields)))
        return future

    def done(self) -> bool:
        """Return whether nothing waits for the reply any more."""
        return all(future.done() for future, _ in self._parts)

    def set_result(self, reply: Any, /) -> None:  # noqa: ANN401  Redis' own
        """Set the result of each read to its part of the reply."""
        at = 0
        for future, count in self._parts:
            if not future.done():
                future.set_result(reply[at : at + count] if isinstance(reply, list) and count else reply)
            at += count

    def set_exception(self, error: Exception, /) -> None:
        """Set why there is no reply."""
        for future, _ in self._parts:
            if not future.done():
                future.set_exception(error)


def _code(error: redis.exceptions.RedisError) -> str:
    """Return the code of an error, such as READONLY; other errors give the first word of their text."""
    known = next((code for kind, code in _CODES.items() if isinstance(error, kind)), None)
    return known or str(error).partition(" ")[0]


def _accept(reply: Any) -> Any:  # noqa: ANN401
    if not isinstance(reply, redis.exceptions.RedisError):
        return reply
    if (code := _code(reply)) in DEMOTED or code in FULL:
        text = str(reply).removeprefix(code).strip()
        raise RedisUnavailable(f"Redis takes no writes now: {code} {text}") from reply
    raise RedisRefused(str(reply)) from reply


def _fail_all(waiting: Sequence[ReplyFuture], why: str) -> None:
    """Fail the calls that still wait."""
    for answer in waiting:
        if not answer.done():
            answer.set_exception(RedisUnavailable(f"Redis did not answer: {why}"))


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Redis]:
    """Open Redis while the context lasts; the connection is made at the first call and again after a loss.

    `url` is a server's, or `redis+sentinel://h1,h2,h3/NAME`: then every connection goes to the master of the Sentinels.
    """
    options: dict[str, Any] = {
        "decode_responses": False,
        "socket_timeout": None,  # a whole batch has one, CALL_TIMEOUT_S
        "socket_connect_timeout": CALL_TIMEOUT_S,
        "retry": None,
        "health_check_interval": 0,
    }
    sentinels = redis_address.read(url)
    redis_sentinel = None if sentinels is None else _ask(sentinels)
    if sentinels is None or redis_sentinel is None:
        client = redis.asyncio.Redis.from_url(url, **options)
    else:
        own: dict[str, Any] = {"db": sentinels.db, "username": sentinels.username, "password": sentinels.password}
        client = redis_sentinel.master_for(sentinels.name, **options, **own, ssl=sentinels.has_tls)
    calls = Redis(client)
    try:
        yield calls
    finally:
        await calls.close()  # a connection that is just being made would outlive its pool
        await client.aclose()
        for sentinel in redis_sentinel.sentinels if redis_sentinel is not None else ():
            await sentinel.aclose()


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
