"""The deliveries of one consumer: a queue of those to be read, and the set of those that are unacked."""

import asyncio
from collections.abc import AsyncIterator

from imsg_broker.port import Delivery


class Deliveries(AsyncIterator[Delivery]):
    """The deliveries of one consumer, in order of arrival: an adapter adds them, the worker reads them."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Delivery | BaseException] = asyncio.Queue()
        self._unacked: set[Delivery] = set()

    def __len__(self) -> int:
        """Return the number of unacked deliveries."""
        return len(self._unacked)

    def add(self, delivery: Delivery) -> None:
        """Add a delivery."""
        self._unacked.add(delivery)
        self._arrived.put_nowait(delivery)

    def settle(self, delivery: Delivery) -> bool:
        """Remove a settled delivery from the unacked ones; return False where it was dropped before."""
        if delivery not in self._unacked:
            return False
        self._unacked.remove(delivery)
        return True

    def drop_all(self) -> None:
        """Drop all deliveries: the broker may redeliver them to another consumer."""
        for delivery in self._unacked:
            delivery.held = False
        self._unacked.clear()

    def end(self, cause: BaseException | None = None) -> None:
        """End the reader's loop; raise `cause` in it where there is one."""
        self.drop_all()
        self._arrived.put_nowait(cause or StopAsyncIteration())

    async def receive_batch(self, limit: int) -> list[Delivery]:
        """Wait for a delivery and return it with those that have arrived, up to `limit`; empty at the end."""
        batch: list[Delivery] = []
        while len(batch) < limit and not (batch and self._arrived.empty()):
            arrived = await self._arrived.get()
            if isinstance(arrived, BaseException):
                self._arrived.put_nowait(arrived)  # for the next call
                if batch or isinstance(arrived, StopAsyncIteration):
                    break
                raise arrived
            if arrived.held:
                batch.append(arrived)
        return batch

    async def __anext__(self) -> Delivery:
        """Wait for the next delivery that is still held."""
        while True:
            arrived = await self._arrived.get()
            if isinstance(arrived, BaseException):
                self._arrived.put_nowait(arrived)  # for the next call
                raise arrived
            if arrived.held:
                return arrived
