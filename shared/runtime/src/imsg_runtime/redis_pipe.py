"""A connection that redis-py has opened: batches of calls are written to it, and their replies read, here.

redis-py dials, finds the master, speaks TLS and logs in. What it does for each call after that (a lock, five
coroutines, a stream's buffer, counters) costs several times what the call does; here a reply goes from the socket to
who waits for it (docs/performance.md). Of redis-py's inside this stands on `_writer` and `_parser`;
tests/contract/test_internals.py names what is gone where a new version lacks it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import hiredis
import redis.asyncio
import redis.exceptions

Argument = str | bytes | int | float


class ReplyFuture(Protocol):
    """A future of a reply, or several as one."""

    def done(self) -> bool:
        """Return whether nothing waits for the reply any more."""

    def set_result(self, reply: Any, /) -> None:  # noqa: ANN401  Redis' own
        """Set the reply, which may be an error of the server."""

    def set_exception(self, error: Exception, /) -> None:
        """Set why there is no reply."""


Call = tuple[tuple[Argument, ...], ReplyFuture]

_MISSING = object()

STOOD_STILL_S = 0.25
"""How late a timer comes where this process, or the whole machine, stood still."""


@dataclass(slots=True)
class _Batch:
    """Calls that were written together."""

    answers: Sequence[ReplyFuture]
    written_at: float
    answered: int = 0
    waits_anew: bool = False


class Pipe(asyncio.Protocol):
    """One connection to Redis; batches of calls are answered in the order in which they were written."""

    def __init__(
        self,
        connection: redis.asyncio.connection.AbstractConnection,
        *,
        timeout_s: float,
        on_answered: Callable[[], None],
        is_last: Callable[[redis.exceptions.RedisError], bool],
        give_up: Callable[[Sequence[ReplyFuture], str], None],
    ) -> None:
        """Take over a connection.

        `on_answered` is called when a batch has its answers. `is_last` returns whether a server's error ends the use of
        the connection. `give_up` fails the futures that will get no answer.
        """
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._on_answered = on_answered
        self._is_last = is_last
        self._give_up = give_up
        self._batches: deque[_Batch] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._must_part = False
        self._reader = hiredis.Reader(
            protocolError=redis.exceptions.InvalidResponse,
            replyError=connection._parser.parse_error,  # noqa: SLF001
            notEnoughData=_MISSING,
        )
        writer: Any = connection._writer  # noqa: SLF001
        self._transport: asyncio.Transport = writer.transport
        self._former: asyncio.BaseProtocol = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether calls can be written."""
        return not self._transport.is_closing()

    @property
    def batches(self) -> int:
        """How many batches wait for replies."""
        return len(self._batches)

    def carry_out(self, calls: Sequence[Call]) -> None:
        """Write calls together; each gets its reply, or an error."""
        answers = [answer for _, answer in calls]
        try:
            self._transport.write(b"".join([hiredis.pack_command(command) for command, _ in calls]))  # type: ignore[arg-type]
        except (OSError, RuntimeError) as error:  # uvloop's, for writing to what was just lost
            self._give_up(answers, str(error))
            self.close(str(error))
            return
        self._batches.append(_Batch(answers, self._loop.time()))
        if self._timer is None:
            self._set_timer(self._batches[0].written_at + self._timeout_s)

    def data_received(self, data: bytes) -> None:
        """Set each reply of a batch."""
        self._reader.feed(data)
        while self._batches:
            batch = self._batches[0]
            while batch.answered < len(batch.answers):
                if (reply := self._next()) is _MISSING:
                    return
                answer = batch.answers[batch.answered]
                batch.answered += 1
                if not answer.done():
                    answer.set_result(reply)
            self._batches.popleft()
            if self._must_part:
                self.close("it takes no writes")
            self._on_answered()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the calls that wait."""
        if isinstance(self._former, asyncio.Protocol):
            self._former.connection_lost(exc)
        self._end(str(exc) if exc is not None else "it closed the connection")

    def close(self, why: str) -> None:
        """Close the connection, and fail the calls that wait."""
        self._transport.abort()
        self._end(why)

    def _next(self) -> Any:  # noqa: ANN401  Redis' own
        """Read the next reply, skipping push messages. An error of the connection ends it."""
        while True:
            try:
                reply = self._reader.gets()
            except redis.exceptions.InvalidResponse as error:
                self.close(str(error))
                return _MISSING
            if isinstance(reply, redis.exceptions.RedisError):
                if not isinstance(reply, redis.exceptions.ResponseError | redis.exceptions.BusyLoadingError):
                    self.close(str(reply))
                    return _MISSING
                self._must_part = self._must_part or self._is_last(reply)
            if not isinstance(reply, hiredis.PushNotification):
                return reply

    def _set_timer(self, at: float) -> None:
        self._timer, self._timer_at = self._loop.call_at(at, self._check_timeout), at

    def _check_timeout(self) -> None:
        """Give up the oldest batch in time; once more time is given where this process stood still meanwhile."""
        self._timer = None
        if not self._batches:
            return
        batch, now = self._batches[0], self._loop.time()
        if now - self._timer_at > STOOD_STILL_S and not batch.waits_anew:
            batch.written_at, batch.waits_anew = now, True
        due_at = batch.written_at + self._timeout_s
        if due_at <= now:
            self.close(f"no answer within {self._timeout_s:g} s")
        else:
            self._set_timer(due_at)

    def _end(self, why: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batches, self._batches = self._batches, deque()
        for batch in batches:
            self._give_up(batch.answers[batch.answered :], why)
        if batches:
            self._on_answered()
