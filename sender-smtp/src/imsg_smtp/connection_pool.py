"""The connections to a mail server, kept and used again: servers lock out who logs in for every mail."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from imsg_contract.wire import Again, Blocked, Result, Sent
from imsg_runtime.logs import RecurringProblem, logger
from imsg_smtp.connection import Connection, ConnectionLost
from imsg_smtp.mime import Mail
from imsg_smtp.replies import is_trouble

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits below those that servers commonly have (docs/providers.md, E-mail)."""

    connections: int = 8
    mails: int = 100
    """Mails on one connection."""
    age_s: float = 600.0
    idle_s: float = 60.0
    probe_after_s: float = 5.0
    """A connection that was idle for so long is probed with NOOP before it is used again."""


Connect = Callable[[], Awaitable[Connection | Again | Blocked]]


@dataclass(frozen=True, slots=True)
class NotConnected:
    """No connection could be opened, so the mail was not sent."""

    result: Again | Blocked
    is_first: bool
    """This call tried to connect; otherwise it waited for one that did."""


@dataclass(slots=True)
class _Kept:
    """A connection, in use or idle."""

    connection: Connection
    opened_at: float
    used_at: float


class ConnectionPool:
    """At most `connections` mails at a time, each on a connection of its own; the connection used last is used first.

    A caller holds `slots` while it sends.
    """

    def __init__(self, connect: Connect, scope: str, limits: Limits, clock: Callable[[], float]) -> None:
        self.slots = asyncio.Semaphore(limits.connections)
        self._connect = connect
        self._scope = scope
        self._limits = limits
        self._clock = clock
        self._idle: list[_Kept] = []
        self._quitting: set[asyncio.Task[None]] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._is_proven = False
        """The last try to connect succeeded, and nothing failed since."""
        self._connecting = asyncio.Lock()
        self._failed_tries = 0
        self._failure: Again | Blocked | None = None
        """Why the last try to connect failed, if it did."""
        self._problem = RecurringProblem(log, "not_connected", server=scope)

    async def send(self, mail: Mail) -> Result | NotConnected:
        """Send a mail. What fails on a kept connection before the server could have accepted it is repeated once."""
        kept = await self._take_idle()
        if kept is not None:
            result = await self._send_over(kept, mail)
            if not isinstance(result, ConnectionLost) or result.is_timeout:
                return self._finish(result)
        opened = await self._open()
        return opened if isinstance(opened, NotConnected) else self._finish(await self._send_over(opened, mail))

    async def close(self) -> None:
        """Send QUIT on every idle connection, and wait within the bound of QUIT."""
        self._is_closed = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        while self._idle:
            self._quit(self._idle.pop())
        await asyncio.gather(*self._quitting)

    def _finish(self, result: Result | ConnectionLost) -> Result:
        """Note whether the server as a whole failed; then the next connections are opened one at a time."""
        if isinstance(result, Sent):
            return result
        if isinstance(result, ConnectionLost):
            result = result.again
        if is_trouble(result) or (isinstance(result, Blocked) and result.scope == self._scope):
            self._is_proven = False
        return result

    async def _send_over(self, kept: _Kept, mail: Mail) -> Result | ConnectionLost:
        """Send over a connection, and keep it if another mail may follow."""
        result = await kept.connection.send(mail)  # it closes itself in doubt, also where the task was cancelled
        kept.used_at = self._clock()
        if not kept.connection.is_usable or self._is_closed:
            kept.connection.abort()
        elif self._is_worn(kept):
            self._quit(kept)
        else:
            self._idle.append(kept)
            self._sweep_later()
        return result

    async def _take_idle(self) -> _Kept | None:
        """Take the idle connection that was used last, if it is usable and the server answers on it."""
        while self._idle:
            kept = self._idle.pop()
            if not kept.connection.is_usable:
                kept.connection.abort()
                continue
            idle_s = self._clock() - kept.used_at
            if self._is_worn(kept) or idle_s > self._limits.idle_s:
                self._quit(kept)
                continue
            if idle_s < self._limits.probe_after_s or await kept.connection.is_alive():
                return kept
            return None  # the others were idle for longer: opening one is quicker
        return None

    async def _open(self) -> _Kept | NotConnected:
        """Open a connection. Until one has succeeded a single call tries, and the others share its result.

        So a wrong password is tried once, and not once per connection.
        """
        if self._is_proven:
            return await self._try()
        if self._connecting.locked() and self._failure is not None:
            return NotConnected(self._failure, is_first=False)
        tries = self._failed_tries
        async with self._connecting:
            if not self._is_proven and self._failed_tries != tries and self._failure is not None:
                return NotConnected(self._failure, is_first=False)
            return await self._try()

    async def _try(self) -> _Kept | NotConnected:
        opened = await self._connect()
        self._is_proven = isinstance(opened, Connection)
        if isinstance(opened, Connection):
            self._failure = None
            self._problem.clear()
            now = self._clock()
            return _Kept(opened, now, now)
        self._failed_tries += 1
        self._failure = opened
        self._problem.note(opened.detail, code=opened.code)
        return NotConnected(opened, is_first=True)

    def _is_worn(self, kept: _Kept) -> bool:
        is_old = self._clock() - kept.opened_at > self._limits.age_s
        return is_old or kept.connection.mails >= self._limits.mails

    def _quit(self, kept: _Kept) -> None:
        task = asyncio.create_task(kept.connection.quit())
        self._quitting.add(task)
        task.add_done_callback(self._quitting.discard)

    def _sweep_later(self) -> None:
        if self._sweep_timer is None:
            self._sweep_timer = asyncio.get_running_loop().call_later(self._limits.idle_s, self._sweep)

    def _sweep(self) -> None:
        """Quit connections that were idle for too long: those at the bottom of the stack are never taken."""
        self._sweep_timer = None
        now = self._clock()
        stale = [kept for kept in self._idle if now - kept.used_at >= self._limits.idle_s]
        self._idle = [kept for kept in self._idle if now - kept.used_at < self._limits.idle_s]
        for kept in stale:
            self._quit(kept)
        if self._idle:
            self._sweep_later()
