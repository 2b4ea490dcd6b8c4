"""Concurrency of a worker: calls within the shares of their lanes, and a read-write lock to isolate one delivery."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic

from imsg_delivery.channel import Prepared
from imsg_delivery.lane_context import LaneContext


class Slot(Generic[Prepared]):
    """A call's place among those in flight: within the share of its lane, and of each lane above it.

    A lane's share counts the calls of those below it, so what it has beyond theirs is always free of them.
    """

    def __init__(self, lane: LaneContext[Prepared], *, is_forced: bool = False) -> None:
        """`is_forced`: an administrator named the provider, so that it waits for no other."""
        self._lane = lane
        self._is_forced = is_forced
        self._held = 0
        self._is_trying = False
        """It is the one call that tries during an outage."""

    async def __aenter__(self) -> "Slot[Prepared]":
        """Wait for the slot."""
        await self._acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Release the slot."""
        self._free()

    def is_wanted(self) -> bool:
        """Return whether the call must give way: to a lane above, during an outage, or to the lag throttle."""
        lag_throttle = self._lane.lag_throttle
        return (
            self._lane.outage.is_on
            or (lag_throttle is not None and lag_throttle.pause_s > 0)
            or any(self._lane.waiting[above] for above in self._lane.above)
        )

    async def give_way(self) -> None:
        """Release the slot, and wait for it again behind the others."""
        self._free()
        await self._acquire()

    def leave(self) -> None:
        """Release the slot before the context ends: no call follows."""
        self._free()

    async def _acquire(self) -> None:
        """Wait for the slot. Raises Requeue where the lane is requeued during an outage."""
        lag_throttle, outage = self._lane.lag_throttle, self._lane.outage
        if lag_throttle is not None and lag_throttle.pause_s:
            await lag_throttle.throttle()
        while True:
            if outage.is_on and not self._is_forced:
                self._is_trying = await outage.wait(self._lane.lane)
            await self._acquire_shares()
            if self._is_trying or self._is_forced or not outage.is_on:
                return
            self._free()  # an outage began meanwhile

    async def _acquire_shares(self) -> None:
        waiting, lane = self._lane.waiting, self._lane.lane
        waiting[lane] += 1
        try:
            for share in self._lane.shares:
                await share.acquire()
                self._held += 1
        except asyncio.CancelledError:
            self._free()
            raise
        finally:
            waiting[lane] -= 1

    def _free(self) -> None:
        held, self._held = self._held, 0
        for share in self._lane.shares[:held]:
            share.release()
        if self._is_trying:
            self._is_trying = False
            self._lane.outage.end_try()


class ReadWriteLock:
    """A lock that many tasks share or one task holds alone; the latter waits only for the present holders."""

    def __init__(self) -> None:
        self._inside = 0
        self._alone = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._not_isolated = asyncio.Event()
        self._not_isolated.set()

    @asynccontextmanager
    async def share(self) -> AsyncIterator[None]:
        """Hold the lock together with others."""
        while self._alone:
            await self._not_isolated.wait()
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the lock alone."""
        self._alone += 1
        self._not_isolated.clear()
        try:
            while self._inside:
                await self._empty.wait()
            self._enter()
            try:
                yield
            finally:
                self._leave()
        finally:
            self._alone -= 1
            if not self._alone:
                self._not_isolated.set()

    def _enter(self) -> None:
        self._inside += 1
        self._empty.clear()

    def _leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._empty.set()
