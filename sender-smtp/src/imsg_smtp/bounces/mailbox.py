"""The reader of a bounce mailbox. A lease lets one replica read; IDLE reports new mail, or the reader polls.

The mailbox may be the sender's own, so the reader fetches only the headers of most messages. It marks a bounce of iMSG
as read, adds the keyword iMSG once the bounce is kept, and moves it if `move_to` is set. Other messages stay unread.
The UID of the last processed message is stored in Redis, so that a message which a person has read is processed too.
After a crash, or with an empty Redis, messages are processed again, which changes nothing.
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
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_smtp.bounce_settings import BounceMailbox
from imsg_smtp.bounces.imap import FetchedMessage, Imap, MailboxError, connect
from imsg_smtp.bounces.ingest import RETRY_LATER, Ingester
from imsg_smtp.bounces.report import may_be_bounce
from imsg_smtp.oauth import TokenFailure, TokenSource
from imsg_smtp.oauth_troubles import TROUBLES

log = logger(__name__)

LEASE_KEY = "imsg:smtp:bounces:reader:"
"""The prefix of a mailbox's lease."""

CURSOR_KEY = "imsg:smtp:bounces:read"
"""Hash: a mailbox → `UIDVALIDITY UID` of the last processed message."""

LEASE_S = 30.0

LEASE_RETRY_S = 5.0
"""How long a replica without the lease waits before it tries to acquire it again."""

LOOK_BACK = timedelta(days=7)
"""How old a message may be that is processed without a cursor: servers give up after five days (RFC 5321, 4.5.4.1)."""

HEADS_PER_FETCH = 100
"""Messages whose headers are fetched in one call."""

MESSAGES_PER_FETCH = 8
"""Messages fetched in one call, of at most a MiB each."""

IDLE_S = 240.0
"""How long one IDLE lasts: servers end it after 30 minutes (RFC 2177), routers drop a silent connection earlier."""

SHORT_IDLE_S = 5.0
"""How long the first IDLE after a scan lasts."""

POLL_S = 30.0
"""How long the reader waits between two scans where the server has no IDLE."""

SLICE_S = 1.0
"""How long one call waits during IDLE, so that a lost lease ends it soon."""

MAX_DEFERRED_IN_A_ROW = 3
"""After so many deferred messages in a row the rest is deferred unprocessed: the broker is unavailable."""

FIRST_RETRY_S, MAX_RETRY_S = 1.0, 60.0
"""The back-off while the mail server or the broker is unavailable."""

MAX_FAILURES = 5
"""Failures in a row after which a replica gives up the lease, since another one may reach the server."""

FIRST_OPERATOR_RETRY_S, MAX_OPERATOR_RETRY_S = 60.0, 3_600.0
"""The back-off while the operator has to correct something: providers lock accounts after repeated wrong log-ins."""

REDIS_ERRORS = (RedisUnavailable, RedisRefused)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReaderTimings:
    """The reader's durations."""

    lease_s: float = LEASE_S
    lease_retry_s: float = LEASE_RETRY_S
    idle_s: float = IDLE_S
    poll_s: float = POLL_S


@dataclass(frozen=True, slots=True)
class _ScanResult:
    """The result of one scan of the mailbox."""

    processed: int
    is_complete: bool
    """Whether no message was deferred."""


class _LeaseLostError(Exception):
    """The lease has ended: another process may read."""


@dataclass
class MailboxReader:
    """Reads a mailbox while its process holds the lease."""

    settings: BounceMailbox
    tls: SSLContext | None
    redis: Redis
    ingester: Ingester
    owner: str
    """The lease's owner, unique to this process."""
    timings: ReaderTimings = ReaderTimings()
    clock: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = random.random
    tokens: TokenSource | None = None
    """The tokens that take the password's place."""
    failure: str = ""
    """Why this process does not read the mailbox; empty while it reads, or while another process holds the lease."""
    is_reading: bool = False
    """Whether this process reads the mailbox."""
    _cursor: tuple[int, int] | None = None
    _validity: int | None = None
    _processed: set[int] = field(default_factory=set)
    """Processed UIDs above the cursor: a message before them is deferred."""
    _lease_lost: asyncio.Event = field(default_factory=asyncio.Event)
    _cursor_problem: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "bounce_mailbox_cursor_not_kept", quiet_s=QUIET_S)
    )

    def __post_init__(self) -> None:
        mailbox = f"{self.settings.host}\n{self.settings.username}\n{self.settings.folder}"
        self._field = hashlib.sha256(mailbox.encode()).hexdigest()[:16]
        self._lease = Lease(self.redis, LEASE_KEY + self._field, self.owner, self.timings.lease_s)

    def warnings(self) -> Sequence[str]:
        """Return the failure, as a list for the service's warnings."""
        return [self.failure] if self.failure else []

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            if not await self._acquire_lease():
                await asyncio.sleep(self.timings.lease_retry_s)
                continue
            self._lease_lost.clear()
            renewing = asyncio.create_task(self._renew_lease())
            try:
                await self._read_while_leased()
            finally:
                self.failure, self.is_reading = "", False
                renewing.cancel()
                await asyncio.gather(renewing, return_exceptions=True)
                with contextlib.suppress(*REDIS_ERRORS):
                    await self._lease.give_up()
            await asyncio.sleep(2 * self.timings.lease_retry_s)  # so that another replica gets the lease

    async def _acquire_lease(self) -> bool:
        try:
            is_ours = await self._lease.acquire()
        except REDIS_ERRORS as error:
            self._record_failure(f"the lease of the bounce mailbox can't be acquired: {error}")
            return False
        self.failure = ""
        return is_ours

    async def _renew_lease(self) -> None:
        """Renew the lease; set `_lease_lost` once another process has it, or Redis was unavailable for its duration."""
        expires_at = self.clock() + self.timings.lease_s
        while self.clock() < expires_at:
            await asyncio.sleep(self.timings.lease_s / 3)
            with contextlib.suppress(*REDIS_ERRORS):
                if not await self._lease.acquire():
                    break
                expires_at = self.clock() + self.timings.lease_s
        self._lease_lost.set()

    async def _read_while_leased(self) -> None:
        """Read while the lease lasts. Keep it after a refused log-in: the server would refuse other replicas too."""
        failures = 0
        while not self._lease_lost.is_set():
            began = self.clock()
            try:
                error = await self._read_until_error()
            except _LeaseLostError:
                return
            if self.clock() - began > MAX_RETRY_S:
                failures = 0
            failures += 1
            self._record_failure(str(error))
            first_s, longest_s = FIRST_RETRY_S, MAX_RETRY_S
            if error.needs_operator:
                first_s, longest_s = FIRST_OPERATOR_RETRY_S, MAX_OPERATOR_RETRY_S
            await self._pause(back_off_s(failures, self.draw(), first_s=first_s, longest_s=longest_s))
            if failures >= MAX_FAILURES and not error.needs_operator:
                return

    async def _read_until_error(self) -> MailboxError:
        """Read until an error occurs; return it. Raises _LeaseLostError."""
        try:
            await self._read()
        except MailboxError as error:
            return error
        except _LeaseLostError:
            raise
        except Exception as bug:  # a worker's edge: a bug in reading must not end the sending of mail
            log.exception("bug")
            reason = f"reading {self.settings.name} failed unexpectedly ({type(bug).__name__}); see the log"
            return MailboxError(reason, needs_operator=True)

    def _record_failure(self, failure: str) -> None:
        self.is_reading = False
        if failure != self.failure:
            log.warning("bounce_mailbox_not_read", why=failure)
        self.failure = failure

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._lease_lost.wait()

    async def _read(self) -> NoReturn:
        """Connect, process the messages, and wait for more. Raises MailboxError, _LeaseLostError."""
        loop = asyncio.get_running_loop()
        thread = ThreadPoolExecutor(1, "bounce-mailbox")
        imap: Imap | None = None
        try:
            imap = await loop.run_in_executor(thread, connect, self.settings, self.tls)
            await log_in(imap, self.tokens, thread)
            log.info("bounce_mailbox_read", mailbox=self.settings.name, idle=imap.has_idle)
            self.failure, self.is_reading = "", True
            mailbox = _OpenMailbox(imap, thread)
            # A message that arrives during a search is reported in the search's response, which the library drops;
            # IDLE does not report it again. So scan until nothing is new, and once more after a short IDLE.
            idle_s, failures = SHORT_IDLE_S, 0
            while True:
                scan = await self._process_new(mailbox)
                if scan.processed and scan.is_complete:
                    idle_s, failures = SHORT_IDLE_S, 0
                    continue
                if not scan.is_complete:
                    failures = 1 if scan.processed else failures + 1
                    idle_s = back_off_s(failures, self.draw(), first_s=FIRST_RETRY_S, longest_s=MAX_RETRY_S)
                await self._wait_for_news(mailbox, idle_s)
                idle_s = self.timings.idle_s
        finally:
            if imap is not None:
                imap.abort()  # a call that still blocks in the thread ends
                thread.submit(imap.close)
            thread.shutdown(wait=False)

    async def _process_new(self, mailbox: "_OpenMailbox") -> _ScanResult:
        """Process the messages above the cursor. Raises MailboxError, _LeaseLostError."""
        imap = mailbox.imap
        count = await mailbox.call(imap.refresh)
        after = await self._read_cursor(imap.validity)
        since = (datetime.now(UTC) - LOOK_BACK).date()
        uids = await mailbox.call(imap.find, count, after, since)
        if after is None and not self._processed:
            log.info("bounce_mailbox_looked_back", count=len(uids), since=since.isoformat())
        new = [uid for uid in uids if uid not in self._processed]
        processed = 0
        for at in range(0, len(new), HEADS_PER_FETCH):
            batch = new[at : at + HEADS_PER_FETCH]
            heads = await mailbox.call(imap.fetch_heads, batch)
            deferred = await self._process_batch(mailbox, [head.uid for head in heads if may_be_bounce(head.raw)])
            self._processed.update(uid for uid in batch if uid not in deferred)
            processed += len(batch) - len(deferred)
            await self._move_cursor(imap.validity, uids)
            if len(deferred) >= MAX_DEFERRED_IN_A_ROW:
                break
        is_complete = all(uid in self._processed or uid <= self._cursor_uid for uid in uids)
        return _ScanResult(processed, is_complete)

    async def _process_batch(self, mailbox: "_OpenMailbox", uids: Sequence[int]) -> set[int]:
        """Process messages and mark the bounces of iMSG; return the UIDs of those to process again later.

        Raises MailboxError, _LeaseLostError.
        """
        deferred, in_a_row = set[int](), 0
        for at in range(0, len(uids), MESSAGES_PER_FETCH):
            if in_a_row >= MAX_DEFERRED_IN_A_ROW:
                return deferred.union(uids[at:])
            marked: list[int] = []
            for message in await mailbox.call(mailbox.imap.fetch, uids[at : at + MESSAGES_PER_FETCH]):
                if self._lease_lost.is_set():
                    raise _LeaseLostError  # the next reader processes and marks these again
                is_ours = await self._process(message)
                in_a_row = in_a_row + 1 if is_ours is None else 0
                if is_ours is None:
                    deferred.add(message.uid)
                if is_ours:
                    marked.append(message.uid)
            if marked:
                await mailbox.call(mailbox.imap.mark, marked)
        return deferred

    async def _process(self, message: FetchedMessage) -> bool | None:
        """Process a message; return whether it is a bounce of iMSG, None to process it again later."""
        try:
            ingested = await self.ingester.ingest(message.raw, ())
        except RETRY_LATER:
            return None
        except Exception:  # a worker's edge: a bug with one message must not stop all that follow
            log.exception("bug", uid=message.uid)
            self.ingester.count("left")
            return False
        return ingested.is_bounce

    async def _wait_for_news(self, mailbox: "_OpenMailbox", idle_s: float) -> None:
        """Wait until the server reports a message, or `idle_s` have passed. Raises MailboxError, _LeaseLostError."""
        if not mailbox.imap.has_idle:
            await self._pause(min(idle_s, self.timings.poll_s))
        else:
            await mailbox.call(mailbox.imap.begin_idle)
            until = self.clock() + idle_s
            while self.clock() < until and not self._lease_lost.is_set():
                if await mailbox.call(mailbox.imap.wait, SLICE_S):
                    break
            await mailbox.call(mailbox.imap.end_idle)
        if self._lease_lost.is_set():
            raise _LeaseLostError

    async def _read_cursor(self, validity: int) -> int | None:
        """Return the UID of the last processed message; None without a cursor, or after UIDVALIDITY has changed."""
        try:
            kept = await self.redis.call("HGET", CURSOR_KEY, self._field)
        except REDIS_ERRORS as error:
            self._cursor_problem.report(error)
            kept = None
        if kept is not None:
            kept_validity, _, uid = kept.decode().partition(" ")
            self._cursor = int(kept_validity), int(uid)
        if self._validity != validity:
            self._validity = validity
            self._processed.clear()
        if self._cursor is not None and self._cursor[0] != validity:
            self._cursor = None
        return None if self._cursor is None else self._cursor[1]

    @property
    def _cursor_uid(self) -> int:
        return 0 if self._cursor is None else self._cursor[1]

    async def _move_cursor(self, validity: int, uids: Sequence[int]) -> None:
        """Move the cursor to the last message before the first unprocessed one."""
        unprocessed = next((uid for uid in uids if uid > self._cursor_uid and uid not in self._processed), None)
        uid = max((uid for uid in uids if unprocessed is None or uid < unprocessed), default=None)
        if uid is None or uid <= self._cursor_uid:
            return
        self._processed = {later for later in self._processed if later > uid}
        self._cursor = validity, uid
        with self._cursor_problem.catch(*REDIS_ERRORS):
            await self.redis.call("HSET", CURSOR_KEY, self._field, f"{validity} {uid}")


@dataclass(frozen=True, slots=True)
class _OpenMailbox:
    """An IMAP connection with the thread in which its calls block."""

    imap: Imap
    thread: ThreadPoolExecutor

    async def call(self, function: "Callable[..., T]", *arguments: object) -> T:
        """Call a function in the thread."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, function, *arguments)


async def log_in(imap: Imap, tokens: TokenSource | None, thread: ThreadPoolExecutor) -> None:
    """Log in and open the folder; a refused token is fetched anew once. Raises MailboxError."""
    loop, token = asyncio.get_running_loop(), None
    for is_last in (False, True):
        if tokens is not None:
            got = await tokens.get(stale=token)
            if isinstance(got, TokenFailure):
                raise _explain_failure(got)
            token = got
        try:
            await loop.run_in_executor(thread, imap.open, token)
        except MailboxError as error:
            if is_last or tokens is None or not error.is_log_in:
                raise
        else:
            return


def _explain_failure(failure: TokenFailure) -> MailboxError:
    known = TROUBLES[failure.code]
    trouble = known.model_copy(
        update={"zh": known.zh.format(reply=failure.detail), "en": known.en.format(reply=failure.detail)}
    )
    text = f"{trouble.en.removesuffix('.')}. {trouble.remedy_en.removesuffix('.')}"
    return MailboxError(text, needs_operator=not failure.is_transient, trouble=trouble)


async def check_mailbox(
    settings: BounceMailbox, tls: SSLContext | None, timeout_s: float, tokens: TokenSource | None = None
) -> MailboxError | None:
    """Log in and open the folder as the reader does; return why that failed."""
    thread = ThreadPoolExecutor(1, "bounce-mailbox")
    loop = asyncio.get_running_loop()
    try:
        imap = await loop.run_in_executor(thread, connect, settings, tls, timeout_s)
        try:
            await log_in(imap, tokens, thread)
        finally:
            await loop.run_in_executor(thread, imap.log_out)
    except MailboxError as error:
        return error
    finally:
        thread.shutdown(wait=False)
    return None
