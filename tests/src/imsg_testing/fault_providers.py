"""Providers beside the mailbox: the sandbox as Aliyun's SMS service, and a worker that its messages can kill."""

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
from typing import Any

import httpx

from imsg_testing.deployment import START_TIMEOUT_S, environment
from imsg_testing.inbox import read_heads
from imsg_testing.processes import Process
from imsg_testing.servers import reserve_port
from imsg_testing.services import Services
from imsg_testing.waiting import wait
from imsg_testing.worker_harness import TERMS, ScriptedProvider

ACCOUNT = {
    "ACCESS_KEY_ID": "LTAI-fault",
    "ACCESS_KEY_SECRET": "a secret of the fault tests",
    "SIGN_NAME": "天存",
    "TEMPLATE": "SMS_100000001",
}


class SmsProvider:
    """The sandbox's Aliyun as a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = reserve_port(self)
        account = {f"IMSG_SMS__ACCOUNTS__ALIYUN__{name}": value for name, value in ACCOUNT.items()}
        own = {
            "IMSG_PORT": str(self.port),
            "IMSG_SANDBOX__SMTP_PORT": "0",
            "IMSG_SMS__ACCOUNTS__ALIYUN__TEMPLATES__SMS_100000001__TEXT": "您有一条新通知：${content}，请及时查看。",
        }
        self.settings = {**account, "IMSG_SMS__ACCOUNTS__ALIYUN__ENDPOINT": f"{self.url}/sandbox/aliyun/"}
        command = [sys.executable, "-m", "imsg_web.service", "imsg_sandbox"]
        given = environment({**account, **own})
        self._process = Process(command, log=folder / "sms-provider.log", environment=given, cwd=folder)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator["SmsProvider"]:
        """Run it for as long as the context lasts."""
        self._process.start()
        try:
            wait(self._answers, START_TIMEOUT_S, why=self._process.last_lines)
            yield self
        finally:
            self._process.kill()
            self._process.close()

    def order(self, fault: str, times: int | None) -> None:
        """Order a fault; `times` 0 takes it back."""
        body = {"method": "sms", "fault": fault, "times": times}
        assert httpx.put(f"{self.url}/sandbox/faults", json=body, timeout=30).json()["errorCode"] == 0

    def counts(self) -> Counter[str]:
        """Count the messages that each number has got."""
        return Counter(head["to"].removeprefix("+86") for head in read_heads(self._get, method="sms"))

    def _get(self, path: str, **params: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.url}{path}", params=params, timeout=60).json()
        return answer

    def _answers(self) -> bool:
        try:
            answers = httpx.get(f"{self.url}/health/ready", timeout=5).is_success
        except httpx.TransportError:
            return False
        if answers:
            self._process.require_port(self.port)
        return answers


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
        return Counter(accepted[one.request][one.n] for one in taken if one.request in accepted)

    @contextmanager
    def running(self) -> Iterator["Workers"]:
        """Run provider and worker for as long as the context lasts."""
        threads = [threading.Thread(target=self._provide, daemon=True), threading.Thread(target=self._supervise)]
        threads[0].start()
        self._open.wait(10)
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
