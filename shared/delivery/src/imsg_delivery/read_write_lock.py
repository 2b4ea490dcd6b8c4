"""Many at once, or one alone: a delivery that broke a worker before runs with nothing else in flight beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ReadWriteLock:
    """A lock that many share or one has alone; who wants to be alone waits only for those who are in already."""

    def __init__(self) -> None:
        self._inside = 0
        self._alone = 0
        self._empty = asyncio.Event()
        self._empty.set()
        self._nobody_alone = asyncio.Event()
        self._nobody_alone.set()

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Be inside with others."""
        while self._alone:
            await self._nobody_alone.wait()
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Be inside with nobody else."""
        self._alone += 1
        self._nobody_alone.clear()
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
                self._nobody_alone.set()

    def _enter(self) -> None:
        self._inside += 1
        self._empty.clear()

    def _leave(self) -> None:
        self._inside -= 1
        if not self._inside:
            self._empty.set()
