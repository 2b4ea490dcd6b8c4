"""`imsg up` with a regular expression that a subject makes endless, watched by its supervisor.

`python -m imsg_testing.fault_spin PROCESSOR_S`: how much processor time its parent bears with.
"""

if __name__ == "__main__":
    import sys

    from imsg_runtime.watchdog import watch

    watch(float(sys.argv[1]))

import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import imsg_smtp.main
from imsg.up import main
from imsg_contract.wire import Job

SPINS = "Your invoice INV-2026-000123456789012345678901 is ready – 发票"
"""An ordinary subject: words with blanks between them, and then what the pattern below does not know."""

_AS_IS = re.compile(r"(?:[\x21-\x7e]+(?: (?=[\x21-\x7e]))?)*")


class Spinning:
    """The sender's channel with an endless regular expression."""

    def __init__(self, channel: Any) -> None:  # noqa: ANN401
        self._channel = channel

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  all else is the channel's
        return getattr(self._channel, name)

    async def prepare(self, job: Job) -> object:
        """Use the processor forever for the subject `SPINS`."""
        if isinstance(job.content, dict) and job.content["subject"] == SPINS:
            _AS_IS.fullmatch(SPINS)
        prepared: object = await self._channel.prepare(job)
        return prepared


@asynccontextmanager
async def open_spinning(*arguments: Any, **named: Any) -> AsyncIterator[Spinning]:  # noqa: ANN401
    """Open the sender's channel."""
    async with _open_channel(*arguments, **named) as channel:
        yield Spinning(channel)


_open_channel = imsg_smtp.main.open_channel

if __name__ == "__main__":
    vars(imsg_smtp.main)["open_channel"] = open_spinning
    sys.exit(main())
