"""A sender whose messages can kill it, started again as a supervisor does."""

import asyncio
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from imsg_testing.processes import Process
from imsg_testing.services import Services
from imsg_testing.worker_harness import TERMS, ScriptedProvider


class Workers:
    """A sender of mail that its messages can kill (subject `die`), started again as a supervisor does."""

    def __init__(self, deployment: Services, folder: Path) -> None:
        self.provider = ScriptedProvider()
        self.deaths = 0
        self._loop = asyncio.new_event_loop()
        self._open = threading.Event()
        self._closing = threading.Event()
        self._stopped: asyncio.Event | None = None
        self._deployment = deployment
        self._log = folder / "trial.log"

    def counts(self, accepted: Mapping[str, Sequence[str]]) -> Counter[str]:
        """Count what each recipient of these requests has got."""
        taken = list(self.provider.taken)
        return Counter(accepted[message.request][message.n] for message in taken if message.request in accepted)

    @contextmanager
    def running(self) -> Iterator["Workers"]:
        """Run provider and worker for as long as the context lasts."""
        threads = [threading.Thread(target=self._provide, daemon=True), threading.Thread(target=self._supervise)]
        threads[0].start()
        self._open.wait(60)
        threads[1].start()
        try:
            yield self
        finally:
            self._closing.set()
            threads[1].join(30)
            assert self._stopped is not None
            self._loop.call_soon_threadsafe(self._stopped.set)
            threads[0].join(30)

    def _provide(self) -> None:
        async def provide() -> None:
            self._stopped = asyncio.Event()
            async with self.provider.running():
                self._open.set()
                await self._stopped.wait()

        self._loop.run_until_complete(provide())
        self._loop.close()

    def _supervise(self) -> None:
        to = [
            self._deployment.rabbit.url,
            self._deployment.valkey.url,
            str(self.provider.port),
            "imsg",
            json.dumps(asdict(TERMS)),
        ]
        process = Process([sys.executable, "-m", "imsg_testing.worker_harness", *to], log=self._log)
        process.start()
        while not self._closing.wait(0.05):
            if not process.runs:
                # The parent that watches it ends as it did, by what a shell makes of a signal.
                self.deaths += process.exit_code == 128 + signal.SIGKILL
                process.start()
        process.kill()
        process.close()
