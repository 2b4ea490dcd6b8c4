"""What one consumer holds: deliveries that wait for their reader, and those that are not acked yet."""

import asyncio
from collections.abc import AsyncIterator

from imsg_broker.port import Delivery


class Deliveries(AsyncIterator[Delivery]):
    """The deliveries of one consumer, in order of arrival; both brokers fill it, the worker reads it."""

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[Delivery | BaseException] = asyncio.Queue()
        self._unacked: set[Delivery] = set()

    def __len__(self) -> int:
        """How many are unacked: with the reader, or still waiting for it."""
        return len(self._unacked)

    def add(self, delivery: Delivery) -> None:
        """Put a delivery before the reader."""
        self._unacked.add(delivery)
        self._arrived.put_nowait(delivery)

    def settle(self, delivery: Delivery) -> bool:
        """Note that a delivery is settled; False where it is no longer ours to ack."""
        if delivery not in self._unacked:
            return False
        self._unacked.remove(delivery)
        return True

    def lose(self) -> None:
        """Give up everything: the broker may give it to another. What was not read yet will not be."""
        for delivery in self._unacked:
            delivery.held = False
        self._unacked.clear()

    def end(self, cause: BaseException | None = None) -> None:
        """Let the reader's loop end, with an error where a cause is given."""
        self.lose()
        self._arrived.put_nowait(cause or StopAsyncIteration())

    async def take(self, most: int) -> list[Delivery]:
        """Wait for the next delivery that is still held, and take with it what has arrived; none where none comes."""
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
