"""The connections to the mail server, kept and used again: a log-in for every mail is what servers lock out."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from imsg_contract.wire import Again, Blocked, Result, Sent, Unknown
from imsg_limits.breakers import Breakers
from imsg_runtime.logs import Recurring, logger
from imsg_smtp.connections import Connection, Lost
from imsg_smtp.mime import Mail
from imsg_smtp.replies import PROVIDER, TIMEOUT, concern_of_server, is_trouble

log = logger(__name__)

FAILURES = 3
"""In a row, until the server is left alone."""

COOL_OFF_S = 5.0
"""How long it is left alone then, before one mail tries it: all others wait for that one (`imsg_delivery.outage`)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What servers commonly bound, and we keep below (docs/providers.md, E-mail)."""

    connections: int = 8
    mails: int = 100
    """On one connection."""
    age_s: float = 600.0
    idle_s: float = 60.0
    probe_after_s: float = 5.0
    """An idle connection is asked for a sign of life before it is used again; one used just now is not."""


Connect = Callable[[], Awaitable[Connection | Again | Blocked]]

FindBlock = Callable[[Mail], Blocked | None]


@dataclass(slots=True)
class _Kept:
    """A connection, in use or between two mails."""

    connection: Connection
    opened_at: float
    used_at: float


class Pool:
    """At most `connections` mails on their way at once, each on a connection of its own, the last used first."""

    def __init__(self, connect: Connect, scope: str, limits: Limits, clock: Callable[[], float]) -> None:
        self._connect = connect
        self._scope = scope
        self._limits = limits
        self._clock = clock
        self._slots = asyncio.Semaphore(limits.connections)
        self._idle: list[_Kept] = []
        self._leaving: set[asyncio.Task[None]] = set()
        self._sweeping: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._health = _Health(scope, clock)
        self._door = asyncio.Lock()

    async def send(self, mail: Mail, find_block: FindBlock = lambda _: None) -> Result:
        """Hand in a mail, unless `find_block` finds, once its turn has come, that it is blocked.

        What fails on a kept connection before the mail could have been taken is repeated once, on a fresh one.
        """
        async with self._slots:
            blocked = self._health.find_block(mail.message_id) or find_block(mail)
            if blocked is not None:
                return blocked
            kept = await self._take()
            if kept is not None:
                result = await self._over(kept, mail)
                if not isinstance(result, Lost) or result.is_timeout:
                    return self._final(result, mail)
            fresh = await self._open()
            if not isinstance(fresh, _Kept):
                return fresh
            return self._final(await self._over(fresh, mail), mail)

    def find_outage(self) -> Blocked | None:
        """Say why nothing gets through, and after how long one mail may try; None once one was answered."""
        return self._health.find_outage()

    async def close(self) -> None:
        """Take leave of the server on every connection, within the bound of QUIT."""
        self._is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        while self._idle:
            self._leave(self._idle.pop())
        await asyncio.gather(*self._leaving)

    def _final(self, result: Result | Lost, mail: Mail) -> Result:
        return self._health.judge(result.again if isinstance(result, Lost) else result, mail.message_id)

    async def _over(self, kept: _Kept, mail: Mail) -> Result | Lost:
        """Send over a connection and keep it, if it is still good for another mail."""
        result = await kept.connection.send(mail)  # which closes it if anything is in doubt, a cancelled task included
        kept.used_at = self._clock()
        if not kept.connection.is_usable or self._is_closed:
            kept.connection.abort()
        elif self._is_worn(kept):
            self._leave(kept)
        else:
            self._idle.append(kept)
            self._sweep_later()
        return result

    async def _take(self) -> _Kept | None:
        """Take the connection used last, if one is left that is good and alive."""
        while self._idle:
            kept = self._idle.pop()
            if not kept.connection.is_usable:
                kept.connection.abort()
                continue
            idle_s = self._clock() - kept.used_at
            if self._is_worn(kept) or idle_s > self._limits.idle_s:
                self._leave(kept)
                continue
            if idle_s < self._limits.probe_after_s or await kept.connection.is_alive():
                return kept
            return None  # the others are as old or older: a fresh one is the quicker way
        return None

    async def _open(self) -> _Kept | Again | Blocked:
        """Open a connection; by one at a time as long as it is not known to succeed, and who waited shares its fate.

        So a wrong password is tried once, not once per connection.
        """
        tries = self._health.failed_tries
        if not self._health.is_proven:
            if self._door.locked() and self._health.refusal is not None:
                return self._health.refusal  # one tries whether that has changed
            async with self._door:
                if not self._health.is_proven:
                    shared = self._health.failure_since(tries)
                    return shared if shared is not None else await self._try()
        return await self._try()

    async def _try(self) -> _Kept | Again | Blocked:
        opened = await self._connect()
        self._health.note_opening(opened)
        if isinstance(opened, Connection):
            now = self._clock()
            return _Kept(opened, now, now)
        return opened

    def _is_worn(self, kept: _Kept) -> bool:
        too_old = self._clock() - kept.opened_at > self._limits.age_s
        return too_old or kept.connection.mails >= self._limits.mails

    def _leave(self, kept: _Kept) -> None:
        task = asyncio.create_task(kept.connection.quit())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(self._limits.idle_s, self._sweep)

    def _sweep(self) -> None:
        """Leave what nobody has used for long; the oldest lie at the bottom, where nobody takes them."""
        self._sweeping = None
        now = self._clock()
        stale = [kept for kept in self._idle if now - kept.used_at >= self._limits.idle_s]
        self._idle = [kept for kept in self._idle if now - kept.used_at < self._limits.idle_s]
        for kept in stale:
            self._leave(kept)
        if self._idle:
            self._sweep_later()


class _Health:
    """What is known of the server: whether it can be reached, lets us in, and answers.

    What is narrower (a sender, a way between domains) is the relay's, over breakers of its own: they are asked after
    these, or one mail would take the one try of both.
    """

    def __init__(self, scope: str, clock: Callable[[], float]) -> None:
        self.is_proven = False
        """Whether the last try to get in succeeded, and nothing went wrong since."""
        self.failed_tries = 0
        self._scope = scope
        self._breakers = Breakers(PROVIDER, clock, threshold=FAILURES, cool_off_s=COOL_OFF_S, whole=scope)
        self._failure: Again | Blocked | Unknown | None = None
        self._trouble = Recurring(log, "not_connected", server=scope)
        self.refusal: Again | Blocked | None = None
        """What the last try to get in came to, where it failed."""

    def find_block(self, message: str) -> Blocked | None:
        """Say for how long this message leaves the server alone, if it does. Ask once before each try."""
        return self._breakers.find_block({}, (message,))

    def find_outage(self) -> Blocked | None:
        """Say why nothing gets through, and after how long one mail may try; None once one was answered."""
        return self._breakers.find_outage()

    def note_opening(self, opened: Connection | Again | Blocked) -> None:
        """Note what came of a try to get in."""
        self.is_proven = isinstance(opened, Connection)
        if not isinstance(opened, Connection):
            self.failed_tries += 1
            self.refusal = opened
            for _ in range(FAILURES if opened.code == TIMEOUT else 1):  # another try would take as long
                self._fail(opened)
            self._trouble.note(opened.detail, code=opened.code)
        else:
            self.refusal = None
            self._trouble.clear()

    def failure_since(self, tries: int) -> Again | Blocked | None:
        """Return why nobody gets in, if somebody found out since `failed_tries` was this."""
        failure = self._failure
        return failure if self.failed_tries != tries and isinstance(failure, Again | Blocked) else None

    def judge(self, result: Result, message: str) -> Result:
        """Note what came of a mail, and return what it means: any whole answer is a sign of health, a no included."""
        if (isinstance(result, Blocked) and result.scope == self._scope) or is_trouble(result):
            self.is_proven = False
            return self._fail(result, message)
        if isinstance(result, Sent):
            return self._breakers.note({}, result, message)
        self._breakers.note_answer()
        return result

    def _fail(self, failure: Again | Blocked | Unknown, message: str = "") -> Result:
        self._failure = failure
        return self._breakers.note({}, replace(failure, concerns=concern_of_server(failure.code)), message)
