"""A pool of connections to a mail server: servers block clients that log in for every mail."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from imsg_contract.results import Again, Blocked, Result, Sent
from imsg_runtime.logs import RecurringProblem, logger
from imsg_smtp.connection import Connection, ConnectionLost
from imsg_smtp.mime import Mail
from imsg_smtp.replies import is_server_failure

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """The pool's limits, below those of common servers (docs/providers.md, E-mail)."""

    connections: int = 8
    mails: int = 100
    """The most mails on one connection."""
    age_s: float = 600.0
    idle_s: float = 60.0
    probe_after_s: float = 5.0
    """The idle time after which a connection is probed with NOOP before its next use."""


Connect = Callable[[], Awaitable[Connection | Again | Blocked]]


@dataclass(frozen=True, slots=True)
class ConnectFailure:
    """No connection could be opened, so the mail was not sent."""

    result: Again | Blocked
    is_first: bool
    """Whether this call tried to connect; if not, it waited for a call that did."""


@dataclass(slots=True)
class _PooledConnection:
    """A connection, in use or idle."""

    connection: Connection
    opened_at: float
    used_at: float


class ConnectionPool:
    """Sends mails, each on its own connection; takes the most recently used connection first.

    A caller must hold `slots` while it sends: they limit the connections.
    """

    def __init__(self, connect: Connect, scope: str, limits: Limits, clock: Callable[[], float]) -> None:
        self.slots = asyncio.Semaphore(limits.connections)
        self._connect = connect
        self._scope = scope
        self._limits = limits
        self._clock = clock
        self._idle: list[_PooledConnection] = []
        self._quitting: set[asyncio.Task[None]] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._is_proven = False
        """Whether the last attempt to connect succeeded, and the server has not failed since."""
        self._connecting = asyncio.Lock()
        self._failed_tries = 0
        self._failure: Again | Blocked | None = None
        """The failure of the last attempt to connect."""
        self._problem = RecurringProblem(log, "not_connected", server=scope)

    async def send(self, mail: Mail) -> Result | ConnectFailure:
        """Send a mail; repeat it once if a pooled connection fails before the server can have accepted the mail."""
        pooled = await self._acquire_idle()
        if pooled is not None:
            result = await self._send_over(pooled, mail)
            if not isinstance(result, ConnectionLost) or not result.may_repeat:
                return self._finish(result)
        opened = await self._open()
        return opened if isinstance(opened, ConnectFailure) else self._finish(await self._send_over(opened, mail))

    async def close(self) -> None:
        """Send QUIT on every idle connection, and wait within the bound of QUIT."""
        self._is_closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        while self._idle:
            self._quit(self._idle.pop())
        await asyncio.gather(*self._quitting)

    def _finish(self, result: Result | ConnectionLost) -> Result:
        """Return the result; after a failure of the server as a whole, open the next connections one at a time."""
        if isinstance(result, Sent):
            return result
        if isinstance(result, ConnectionLost):
            result = result.again
        if is_server_failure(result) or (isinstance(result, Blocked) and result.scope == self._scope):
            self._is_proven = False
        return result

    async def _send_over(self, pooled: _PooledConnection, mail: Mail) -> Result | ConnectionLost:
        """Send over a connection, and keep it if another mail may follow."""
        result = await pooled.connection.send(mail)
        pooled.used_at = self._clock()
        if not pooled.connection.is_usable or self._is_closed:
            pooled.connection.abort()
        elif self._is_expired(pooled):
            self._quit(pooled)
        else:
            self._idle.append(pooled)
            self._sweep_later()
        return result

    async def _acquire_idle(self) -> _PooledConnection | None:
        """Return the most recently used idle connection, if it is usable and the server answers on it."""
        while self._idle:
            pooled = self._idle.pop()
            if not pooled.connection.is_usable:
                pooled.connection.abort()
                continue
            idle_s = self._clock() - pooled.used_at
            if self._is_expired(pooled) or idle_s > self._limits.idle_s:
                self._quit(pooled)
                continue
            if idle_s < self._limits.probe_after_s or await pooled.connection.is_alive():
                return pooled
            return None  # the others were idle for longer: a new connection is quicker
        return None

    async def _open(self) -> _PooledConnection | ConnectFailure:
        """Open a connection. Until an attempt succeeds, one call at a time tries and the others share its result.

        So a wrong password is tried once, and not once for each connection.
        """
        if self._is_proven:
            return await self._try_connect()
        if self._connecting.locked() and self._failure is not None:
            return ConnectFailure(self._failure, is_first=False)
        tries = self._failed_tries
        async with self._connecting:
            if not self._is_proven and self._failed_tries != tries and self._failure is not None:
                return ConnectFailure(self._failure, is_first=False)
            return await self._try_connect()

    async def _try_connect(self) -> _PooledConnection | ConnectFailure:
        opened = await self._connect()
        self._is_proven = isinstance(opened, Connection)
        if isinstance(opened, Connection):
            self._failure = None
            self._problem.clear()
            now = self._clock()
            return _PooledConnection(opened, now, now)
        self._failed_tries += 1
        self._failure = opened
        self._problem.report(opened.detail, code=opened.code)
        return ConnectFailure(opened, is_first=True)

    def _is_expired(self, pooled: _PooledConnection) -> bool:
        is_old = self._clock() - pooled.opened_at > self._limits.age_s
        return is_old or pooled.connection.mails >= self._limits.mails

    def _quit(self, pooled: _PooledConnection) -> None:
        task = asyncio.create_task(pooled.connection.quit())
        self._quitting.add(task)
        task.add_done_callback(self._quitting.discard)

    def _sweep_later(self) -> None:
        if self._sweep_timer is None:
            self._sweep_timer = asyncio.get_running_loop().call_later(self._limits.idle_s, self._sweep)

    def _sweep(self) -> None:
        """Quit connections that were idle for too long: the least recently used ones may never be taken again."""
        self._sweep_timer = None
        now = self._clock()
        stale = [pooled for pooled in self._idle if now - pooled.used_at >= self._limits.idle_s]
        self._idle = [pooled for pooled in self._idle if now - pooled.used_at < self._limits.idle_s]
        for pooled in stale:
            self._quit(pooled)
        if self._idle:
            self._sweep_later()
