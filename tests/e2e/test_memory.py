"""The memory of `imsg up` stays flat under load."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imsg_testing.deployment import Deployment, running
from imsg_testing.waiting import wait

pytestmark = [pytest.mark.release, pytest.mark.timeout(900)]

CLIENTS = 8

MAILS = 8_000

ROUNDS = 5
"""How many there are at most. The caches of the databases are full after 24,000 mails, the later the busier it is."""

LEAK_MIB = 2.0
"""What every round adds where something stays: a quarter of a kilobyte for each mail."""


@pytest.fixture
def inbox_bytes() -> int:
    """Return a size that is full at once: what grows then is nothing that was asked for."""
    return 100_000


@pytest.fixture
def deployment(tmp_path: Path, inbox_bytes: int) -> Iterator[Deployment]:
    """Run `imsg up` with an administrator without limits."""
    with running(tmp_path, {"IMSG_SANDBOX__INBOX_BYTES": str(inbox_bytes)}) as deployment:
        limits = {"token": deployment.token(), "per_day": 1_000_000, "per_hour": 1_000_000}
        assert deployment.call("POST", "/api/modify/admin", limits)["errorCode"] == 0
        yield deployment


def send(deployment: Deployment, count: int, text: str = "a mail among many " * 8) -> None:
    """Send single mails side by side, and wait until none waits."""
    token = deployment.token()

    def send_some(client: int) -> None:
        for n in range(count // CLIENTS):
            content = {"subject": f"{n}", "text": text}
            body = {"token": token, "to": f"u{client}-{n}@example.com", "method": "smtp", "content": content}
            answer = deployment.call("POST", "/api/send", body)
            assert answer["errorCode"] == 0, answer

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(send_some, range(CLIENTS)))

    def is_empty() -> bool:
        channels = deployment.call("GET", "/api/v2/channels", token=token)["channels"]
        return all(channel["waiting"] == 0 for channel in channels)

    wait(is_empty, 300)


def read_resident_mib(deployment: Deployment) -> float:
    """Read what the watched child holds; Valkey is a process of its own."""
    parent = deployment.process.pid
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (kib,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{child}/status").read_text())
    return int(kib) / 1024


def test_single_mails_leave_nothing_behind_in_memory(deployment: Deployment) -> None:
    send(deployment, MAILS)
    grown_mib: list[float] = []
    while not grown_mib or (min(grown_mib) >= LEAK_MIB and len(grown_mib) < ROUNDS):
        before = read_resident_mib(deployment)
        send(deployment, MAILS)
        grown_mib.append(read_resident_mib(deployment) - before)

    assert min(grown_mib) < LEAK_MIB, grown_mib


@pytest.mark.parametrize("inbox_bytes", [32 * 1024 * 1024])
def test_an_emptied_inbox_gives_its_memory_back(deployment: Deployment) -> None:
    send(deployment, 2_000, "a line of a longer mail\n" * 600)
    full = read_resident_mib(deployment)

    removed = deployment.call("DELETE", "/sandbox/inbox")["removed"]

    assert removed == 2_000
    assert full - read_resident_mib(deployment) > 14, "half of 28 MiB"
