"""The reader of a bounce mailbox: one among all replicas, by a lease; told of new mail by IDLE, else it looks.

It may be the sender's own mailbox, so of most messages only the headers are fetched. A bounce of ours is marked as read
(and by the keyword iMSG) once it is kept, and moved where that is set; all else stays as it is, unread for people. How
far it has read stands in Redis, so that what people read meanwhile is read too. A crash in between, or a Redis that was
emptied, has messages taken twice, of which nothing happens twice.
"""

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ssl import SSLContext
from typing import NoReturn, TypeVar

from imsg_runtime.back_off import back_off_s
from imsg_runtime.lease import Lease
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_smtp.bounce_settings import BounceMailbox
from imsg_smtp.bounces.imap import Found, Imap, MailboxTrouble, connect
from imsg_smtp.bounces.ingest import RETRY_LATER, Ingester
from imsg_smtp.bounces.report import may_be_bounce

log = logger(__name__)

LEASE_KEY = "imsg:smtp:bounces:reader:"
"""Before a mailbox's name."""

CURSOR_KEY = "imsg:smtp:bounces:read"
"""Hash: a mailbox → `UIDVALIDITY UID` of the last message that was read."""

LEASE_S = 30.0

ASK_S = 5.0
"""How often who has no lease asks for it."""

LOOK_BACK = timedelta(days=7)
"""How old a message may be where nothing is known of what was read: servers give up after five days (RFC 5321,
4.5.4.1)."""

HEADS_AT_ONCE = 100
"""Messages whose headers are fetched together."""

AT_ONCE = 8
"""Messages fetched together, of a MiB at most each."""

IDLE_S = 240.0
"""How long IDLE goes on: servers end it after 30 minutes (RFC 2177), routers forget a silent connection before."""

SOON_S = 5.0
"""How long it goes on where something was just ingested."""

LOOK_S = 30.0
"""How often is looked where the server has no IDLE."""

SLICE_S = 1.0

LATE_IN_A_ROW = 3
"""Messages that have to wait, one after another, before it is taken that all have to: the broker is away."""

FIRST_S, LONGEST_S = 1.0, 60.0
"""How long to wait before another try, where the server or our broker is away."""

TRIES = 5
"""How often one tries a server that does not answer, before another has its turn."""

REFUSED_FIRST_S, REFUSED_LONGEST_S = 60.0, 3_600.0
"""The same where people have to correct something: providers lock accounts that log in wrongly again and again."""

REDIS_RETRY_LATER = (RedisUnavailable, RedisRefused)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Paces:
    """How long is waited for what."""

    lease_s: float = LEASE_S
    ask_s: float = ASK_S
    idle_s: float = IDLE_S
    look_s: float = LOOK_S


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one look at the mailbox brought."""

    taken: int
    is_whole: bool
    """Whether nothing has to wait."""


class _LostError(Exception):
    """Another process reads now."""


@dataclass
class Reader:
    """Reads for as long as the service runs."""

    where: BounceMailbox
    tls: SSLContext | None
    redis: Redis
    ingester: Ingester
    owner: str
    """Unlike that of every other process."""
    paces: Paces = Paces()
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = random.random
    trouble: str = ""
    """Why the mailbox is not read just now, by us."""
    is_reading: bool = False
    """Whether we are the one."""
    _cursor: tuple[int, int] | None = None
    _validity: int | None = None
    _done: set[int] = field(default_factory=set)
    """UIDs beyond the cursor that were taken: one before them has to wait."""
    _lost: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        mailbox = f"{self.where.host}\n{self.where.username}\n{self.where.folder}"
        self._field = hashlib.sha256(mailbox.encode()).hexdigest()[:16]
        self._lease = Lease(self.redis, LEASE_KEY + self._field, self.owner, self.paces.lease_s)

    def warnings(self) -> Sequence[str]:
        """Say what somebody has to put right."""
        return [self.trouble] if self.trouble else []

    async def run(self) -> None:
        """Read, until cancelled."""
        while True:
            if not await self._ask():
                await asyncio.sleep(self.paces.ask_s)
                continue
            self._lost.clear()
            renewing = asyncio.create_task(self._renew())
            try:
                await self._hold()
            finally:
                self.trouble, self.is_reading = "", False
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
                with contextlib.suppress(*REDIS_RETRY_LATER):
                    await self._lease.give_up()
            await asyncio.sleep(2 * self.paces.ask_s)  # others first

    async def _ask(self) -> bool:
        try:
            is_ours = await self._lease.take()
        except REDIS_RETRY_LATER as error:
            self._tell(f"who reads the bounce mailbox is not known: {error}")
            return False
        self.trouble = ""
        return is_ours

    async def _renew(self) -> None:
        """Keep the lease, and say once it is lost, also where Redis was away for as long as it lasts."""
        good_until = self.clock() + self.paces.lease_s
        while self.clock() < good_until:
            await asyncio.sleep(self.paces.lease_s / 3)
            with contextlib.suppress(*REDIS_RETRY_LATER):
                if not await self._lease.take():
                    break
                good_until = self.clock() + self.paces.lease_s
        self._lost.set()

    async def _hold(self) -> None:
        """Read while the lease is ours, and keep it where a log-in is refused: no other would be let in either."""
        failures = 0
        while not self._lost.is_set():
            began = self.clock()
            try:
                trouble = await self._meet_trouble()
            except _LostError:
                return
            if self.clock() - began > LONGEST_S:
                failures = 0
            failures += 1
            self._tell(str(trouble))
            first_s, longest_s = (REFUSED_FIRST_S, REFUSED_LONGEST_S) if trouble.needs_people else (FIRST_S, LONGEST_S)
            await self._pause(back_off_s(failures, self.draw(), first_s=first_s, longest_s=longest_s))
            if failures >= TRIES and not trouble.needs_people:
                return

    async def _meet_trouble(self) -> MailboxTrouble:
        """Read until that can't go on; return why. Raises _LostError."""
        try:
            await self._read()
        except MailboxTrouble as trouble:
            return trouble
        except _LostError:
            raise
        except Exception as bug:  # a worker's edge: an answer that no library expects must not end the sending of mail
            log.exception("bug")
            reason = (
                f"reading {self.where.name} failed in a way that nobody expected ({type(bug).__name__}); see the log"
            )
            return MailboxTrouble(reason, needs_people=True)

    def _tell(self, trouble: str) -> None:
        self.is_reading = False
        if trouble != self.trouble:
            log.warning("bounce_mailbox_not_read", why=trouble)
        self.trouble = trouble

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._lost.wait()

    async def _read(self) -> NoReturn:
        """Connect, take what is there, and wait for more. Raises MailboxTrouble, _LostError."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "bounce-mailbox")
        imap: Imap | None = None
        try:
            imap = await loop.run_in_executor(thread, connect, self.where, self.tls)
            await loop.run_in_executor(thread, imap.open)
            log.info("bounce_mailbox_read", mailbox=self.where.name, idle=imap.has_idle)
            self.trouble, self.is_reading = "", True
            opened = _Opened(imap, thread)
            # What comes while a search is answered is told by that answer, which the library drops, and IDLE tells it
            # no more. So it is looked until nothing is found, and once more soon after.
            idle_s, failures = SOON_S, 0
            while True:
                found = await self._take_new(opened)
                if found.taken and found.is_whole:
                    idle_s, failures = SOON_S, 0
                    continue
                if not found.is_whole:
                    failures = 1 if found.taken else failures + 1
                    idle_s = back_off_s(failures, self.draw(), first_s=FIRST_S, longest_s=LONGEST_S)
                await self._wait_for_news(opened, idle_s)
                idle_s = self.paces.idle_s
        finally:
            if imap is not None:
                imap.abort()  # a call that still blocks in the thread ends
                thread.submit(imap.close)
            thread.shutdown(wait=False)

    async def _take_new(self, opened: "_Opened") -> _Pass:
        """Take all that came, but what can't be kept for now. Raises MailboxTrouble, _LostError."""
        imap = opened.imap
        count = await opened.call(imap.refresh)
        after = await self._read_cursor(imap.validity)
        since = (datetime.now(UTC) - LOOK_BACK).date()
        there = await opened.call(imap.find, count, after, since)
        if after is None and not self._done:
            log.info("bounce_mailbox_looked_back", count=len(there), since=since.isoformat())
        new = [uid for uid in there if uid not in self._done]
        taken = 0
        for at in range(0, len(new), HEADS_AT_ONCE):
            some = new[at : at + HEADS_AT_ONCE]
            heads = await opened.call(imap.fetch_heads, some)
            late = await self._take_some(opened, [one.uid for one in heads if may_be_bounce(one.raw)])
            self._done.update(uid for uid in some if uid not in late)
            taken += len(some) - len(late)
            await self._move_cursor(imap.validity, there)
            if len(late) >= LATE_IN_A_ROW:
                break
        return _Pass(taken, is_whole=all(uid in self._done or uid <= self._read_to for uid in there))

    async def _take_some(self, opened: "_Opened", uids: Sequence[int]) -> set[int]:
        """Take messages, and mark those that are bounces of ours; return those that have to wait.

        Raises MailboxTrouble, _LostError.
        """
        late, in_a_row = set[int](), 0
        for at in range(0, len(uids), AT_ONCE):
            if in_a_row >= LATE_IN_A_ROW:
                return late.union(uids[at:])
            marked: list[int] = []
            for one in await opened.call(opened.imap.fetch, uids[at : at + AT_ONCE]):
                if self._lost.is_set():
                    raise _LostError  # who reads now takes and marks these once more
                is_ours = await self._take(one)
                in_a_row = in_a_row + 1 if is_ours is None else 0
                if is_ours is None:
                    late.add(one.uid)
                if is_ours:
                    marked.append(one.uid)
            if marked:
                await opened.call(opened.imap.mark, marked)
        return late

    async def _take(self, found: Found) -> bool | None:
        """Take a message; tell whether it is a bounce of ours, None where that has to wait."""
        try:
            ingested = await self.ingester.ingest(found.raw, ())
        except RETRY_LATER as error:
            log.warning("bounce_not_kept", uid=found.uid, why=str(error) or type(error).__name__)
            return None
        except Exception:  # a worker's edge: one message of a stranger's must not stop all that come after it
            log.exception("bug", uid=found.uid)
            self.ingester.count("left")
            return False
        return ingested.is_bounce

    async def _wait_for_news(self, opened: "_Opened", idle_s: float) -> None:
        """Wait until there may be a message. Raises MailboxTrouble, _LostError."""
        if not opened.imap.has_idle:
            await self._pause(min(idle_s, self.paces.look_s))
        else:
            await opened.call(opened.imap.begin_idle)
            until = self.clock() + idle_s
            while self.clock() < until and not self._lost.is_set():
                if await opened.call(opened.imap.wait, SLICE_S):
                    break
            await opened.call(opened.imap.end_idle)
        if self._lost.is_set():
            raise _LostError

    async def _read_cursor(self, validity: int) -> int | None:
        """Return up to which UID was read; None where nothing is known, or the UIDs mean other messages now."""
        try:
            kept = await self.redis.call("HGET", CURSOR_KEY, self._field)
        except REDIS_RETRY_LATER as error:
            log.warning("bounce_mailbox_cursor_unknown", why=str(error))
            kept = None
        if kept is not None:
            then, _, uid = kept.decode().partition(" ")
            self._cursor = int(then), int(uid)
        if self._validity != validity:
            self._validity = validity
            self._done.clear()
        if self._cursor is not None and self._cursor[0] != validity:
            self._cursor = None
        return None if self._cursor is None else self._cursor[1]

    @property
    def _read_to(self) -> int:
        return 0 if self._cursor is None else self._cursor[1]

    async def _move_cursor(self, validity: int, there: Sequence[int]) -> None:
        """Move it to the last message before which all are done."""
        waiting = next((uid for uid in there if uid > self._read_to and uid not in self._done), None)
        uid = max((uid for uid in there if waiting is None or uid < waiting), default=None)
        if uid is None or uid <= self._read_to:
            return
        self._done = {one for one in self._done if one > uid}
        self._cursor = validity, uid
        try:
            await self.redis.call("HSET", CURSOR_KEY, self._field, f"{validity} {uid}")
        except REDIS_RETRY_LATER as error:
            log.warning("bounce_mailbox_cursor_not_kept", why=str(error))


@dataclass(frozen=True, slots=True)
class _Opened:
    """A connection with the one thread in which its calls block."""

    imap: Imap
    thread: ThreadPoolExecutor

    async def call(self, function: "Callable[..., T]", *arguments: object) -> T:
        """Call it there."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *arguments)


def look(where: BounceMailbox, tls: SSLContext | None, timeout_s: float) -> str | None:
    """Log in and open the folder as the reader does, and change nothing; return what keeps it from that. Blocks."""
    try:
        imap = connect(where, tls, timeout_s)
        try:
            imap.open()
        finally:
            imap.log_out()
    except MailboxTrouble as trouble:
        return f"{trouble}."
    return None
