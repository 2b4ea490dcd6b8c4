"""The signs of life that a process gives to the parent that watches it, and what that parent has told it."""

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
class Life:
    """How this process is watched; as it is made, by nobody."""

    name: str = ""
    """What the parent calls this process; its workers' names begin with it."""
    stopped: tuple[str, ...] = ()
    """Processes before this one which were ended because they stood still: what they had begun broke nobody."""
    sign: int | None = None
    """The file that signs are written to."""

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> "Life":
        """Take what the parent has left in the environment, so that no child of ours finds it."""
        told = environment.pop(watchdog.HEARTBEAT, "").split(" ")
        if told[0] != str(os.getpid()):  # not for us: it was left to a parent of ours
            return UNWATCHED
        faulthandler.register(watchdog.SHOW, all_threads=True)
        _, sign, name, *stopped = told
        os.set_inheritable(int(sign), False)  # noqa: FBT003
        return cls(name, tuple(stopped), int(sign))

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """Give signs from the event loop for as long as the context lasts: as long as it turns."""
        if self.sign is None:
            yield
            return
        beat = asyncio.create_task(_beat(self.sign), name="beat")
        try:
            yield
        finally:
            beat.cancel()


UNWATCHED = Life()
"""Of a process that has no such parent."""


async def _beat(sign: int) -> NoReturn:
    while True:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # nobody has read for long, or ever will
            os.write(sign, b".")
        await asyncio.sleep(watchdog.LOOK_S)
