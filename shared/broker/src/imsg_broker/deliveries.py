"""The deliveries of one consumer: those that wait for their reader, and those that are not acked."""

import asyncio
from collections.abc import AsyncIterator

from imsg_broker.port import Delivery


class Deliveries(AsyncIterator[Delivery]):
    """The deliveries of one consumer, in order of arrival: an adapter adds them, the worker reads them."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Delivery | BaseException] = asyncio.Queue()
        self._unacked: set[Delivery] = set()

    def __len__(self) -> int:
        """Return how many are unacked."""
        return len(self._unacked)

    def add(self, delivery: Delivery) -> None:
        """Add a delivery."""
        self._unacked.add(delivery)
        self._arrived.put_nowait(delivery)

    def settle(self, delivery: Delivery) -> bool:
        """Remove a delivery that is settled; return False where it is not held any more."""
        if delivery not in self._unacked:
            return False
        self._unacked.remove(delivery)
        return True

    def lose(self) -> None:
        """Drop all deliveries, which the broker may give to another consumer."""
        for delivery in self._unacked:
            delivery.held = False
        self._unacked.clear()

    def end(self, cause: BaseException | None = None) -> None:
        """End the reader's loop, with an error where there is a cause."""
        self.lose()
        self._arrived.put_nowait(cause or StopAsyncIteration())

    async def take(self, most: int) -> list[Delivery]:
        """Wait for the next held delivery and return it with those that have arrived; empty at the end."""
        taken: list[Delivery] = []
        while len(taken) < most and not (taken and self._arrived.empty()):
            arrived = await self._arrived.get()
            if isinstance(arrived, BaseException):
                self._arrived.put_nowait(arrived)  # for who waits next
                if taken or isinstance(arrived, StopAsyncIteration):
                    break
                raise arrived
            if arrived.held:
                taken.append(arrived)
        return taken

    async def __anext__(self) -> Delivery:
        """Wait for the next delivery that is still held."""
        while True:
            arrived = await self._arrived.get()
            if isinstance(arrived, BaseException):
                self._arrived.put_nowait(arrived)  # for whoever else reads
                raise arrived
            if arrived.held:
                return arrived
