"""The sandbox as a process. It outlives the deployments that send to it."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from imsg_testing.inbox import read_heads, read_inbox
from imsg_testing.servers import reserve_port
from imsg_testing.service import Service


class SandboxProcess(Service):
    """The running sandbox. It can be killed and started again."""

    def __init__(self, folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self.smtp_port = reserve_port(self)
        super().__init__("imsg_sandbox", folder, {"IMSG_SANDBOX__SMTP_PORT": str(self.smtp_port), **settings})

    @property
    def settings(self) -> dict[str, str]:
        """The settings with which a sender sends mail to it."""
        server = {"HOST": "127.0.0.1", "PORT": str(self.smtp_port), "SECURITY": "none", "SENDER": "imsg@example.com"}
        return {f"IMSG_SMTP__{name}": value for name, value in server.items()}

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    def inbox(self) -> list[dict[str, Any]]:
        """Return what it has received."""
        return read_inbox(self._get)

    def count_sms(self) -> Counter[str]:
        """Count the messages that each mainland number has received."""
        return Counter(head["to"].removeprefix("+86") for head in read_heads(self._get, method="sms"))

    def order(self, method: str, fault: str, times: int | None, **more: int) -> None:
        """Order a fault; `times` 0 cancels it."""
        body = {"method": method, "fault": fault, "times": times, **more}
        assert httpx.put(f"{self.url}/sandbox/faults", json=body, timeout=30).json()["errorCode"] == 0

    def _get(self, path: str, **params: str) -> dict[str, Any]:
        answer: dict[str, Any] = httpx.get(f"{self.url}{path}", params=params, timeout=60).json()
        return answer


@contextmanager
def run_sandbox(folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[SandboxProcess]:
    """Run a sandbox for as long as the context lasts."""
    sandbox = SandboxProcess(folder, settings)
    try:
        sandbox.start()
        yield sandbox
    finally:
        sandbox.process.kill()
        sandbox.process.close()
