"""The heartbeat of a process to the parent that watches it (`watchdog`), and what that parent passed to it."""

import asyncio
import contextlib
import faulthandler
import os
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NoReturn

from imsg_runtime import watchdog


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """How this process is watched; without arguments, it is not."""

    name: str = ""
    """The parent's name of this process; its workers' names begin with it."""
    stopped: tuple[str, ...] = ()
    """Earlier processes that were killed because they were stopped (SIGSTOP): their messages crashed nothing."""
    descriptor: int | None = None
    """The file descriptor of the heartbeat."""

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> "Heartbeat":
        """Read what the parent passed in the environment, and remove it, so that no child process inherits it."""
        words = environment.pop(watchdog.HEARTBEAT, "").split(" ")
        if words[0] != str(os.getpid()):  # meant for a parent of this process
            return UNWATCHED
        faulthandler.register(watchdog.SHOW, all_threads=True)
        _, descriptor, name, *stopped = words
        os.set_inheritable(int(descriptor), False)  # noqa: FBT003
        return cls(name, tuple(stopped), int(descriptor))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Write the heartbeat from the event loop while the context lasts."""
        if self.descriptor is None:
            yield
            return
        beat = asyncio.create_task(_beat(self.descriptor), name="beat")
        try:
            yield
        finally:
            beat.cancel()


UNWATCHED = Heartbeat()
"""The heartbeat of a process without such a parent."""


async def _beat(descriptor: int) -> NoReturn:
    while True:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # the parent is slow, or gone
            os.write(descriptor, b".")
        await asyncio.sleep(watchdog.POLL_S)
