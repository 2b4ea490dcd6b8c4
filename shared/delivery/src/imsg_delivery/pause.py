"""Decides whether a channel may consume deliveries now, and reports the channel's state in Redis."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from imsg_contract.results import Blocked, Concern
from imsg_contract.topology import CHANNEL_LOOK_S, channel_key
from imsg_delivery.claims.store import Claims
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

OF_SOME: frozenset[Concern | None] = frozenset({"recipient", "domain", "content", "template", "signature"})
"""Concerns of blocks that do not block the channel, since other messages go through; the provider reports them."""

GRACE_S = 2.0
"""How long a block is reported after its end: until the next try, its state must not flicker."""


class PauseSwitch:
    """Open while Redis answers and the channel is not paused."""

    def __init__(
        self,
        redis: Redis,
        claims: Claims,
        method: str,
        clock: Callable[[], float],
        find_outage: Callable[[], Blocked | None] = lambda: None,
    ) -> None:
        self._redis = redis
        self._claims = claims
        self._method = method
        self._key = channel_key(method)
        self._clock = clock
        self._find_outage = find_outage
        """Returns the block of an outage; None without one."""
        self._blocks: dict[str, tuple[str, float]] = {}
        self._reported: tuple[bytes, str, str] | None = None
        self._is_open = asyncio.Event()
        self._is_closed = asyncio.Event()
        self._is_closed.set()

    @property
    def is_open(self) -> bool:
        """Whether a delivery may be consumed now."""
        return self._is_open.is_set()

    @property
    def is_blocked(self) -> bool:
        """Whether a block is in force, or has just ended."""
        return bool(self._blocks)

    async def wait_open(self) -> None:
        """Wait until work may be consumed."""
        await self._is_open.wait()

    async def wait_closed(self) -> None:
        """Wait until work may not be consumed any more."""
        await self._is_closed.wait()

    def close(self, why: str) -> None:
        """Close at once, because a call to Redis failed."""
        self._turn(is_open=False, why=why)

    def block(self, result: Blocked) -> None:
        """Record a block until it ends; one that concerns only some messages is ignored."""
        if result.concerns in OF_SOME:
            return
        self._blocks[result.scope] = (f"{result.scope}: {result.code}", self._clock() + result.after_s)

    async def watch(self) -> None:
        """Read whether the channel is paused, and report its state, as long as the worker runs."""
        while True:
            try:
                await self._update()
            except (RedisUnavailable, RedisRefused) as error:
                self.close(str(error))
            await asyncio.sleep(CHANNEL_LOOK_S)

    async def _update(self) -> None:
        await self._claims.excuse_stopped()
        await self._claims.read_data_since_s()  # writes the time of Redis' data where it is new or was flushed
        (now_s, _), (paused, state, until) = await asyncio.gather(
            self._redis.call("TIME"), self._redis.call("HMGET", self._key, "paused", "state", "until")
        )
        await self._report(int(now_s), state, until)
        self._turn(is_open=paused not in (b"1", b"true"), why="paused")

    async def _report(self, now_s: int, state: bytes | None, until: bytes | None) -> None:
        """Write the channel's state where it changed; what another worker wrote stays until it is over."""
        now = self._clock()
        if (outage := self._find_outage()) is not None:
            self.block(outage)
        self._blocks = {scope: block for scope, block in self._blocks.items() if block[1] + GRACE_S > now}
        if self._blocks:
            why = "; ".join(sorted(reason for reason, _ in self._blocks.values()))
            state_now = (b"blocked", why, _moment(now_s + max(end for _, end in self._blocks.values()) - now))
            is_news = state_now != self._reported or state != b"blocked"
        else:
            state_now = (b"open", "", "")
            is_news = state is None or self._reported is not None or (state == b"blocked" and _is_over(until, now_s))
        if not is_news:
            return
        await self._redis.call("HSET", self._key, "state", state_now[0], "why", state_now[1], "until", state_now[2])
        self._reported = state_now if self._blocks else None
        log.info(
            "channel_reported", method=self._method, state=state_now[0].decode(), why=state_now[1], until=state_now[2]
        )

    def _turn(self, *, is_open: bool, why: str) -> None:
        if is_open == self.is_open:
            return
        log.info("resumed" if is_open else "paused", method=self._method, **({} if is_open else {"why": why}))
        now, then = (self._is_open, self._is_closed) if is_open else (self._is_closed, self._is_open)
        then.clear()
        now.set()


def _moment(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_over(until: bytes | None, now_s: int) -> bool:
    try:
        return datetime.fromisoformat((until or b"").decode()).timestamp() + GRACE_S < now_s
    except ValueError:
        return True
