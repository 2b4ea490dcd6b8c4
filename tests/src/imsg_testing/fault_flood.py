"""A hundred thousand requests in minutes, over keep-alive connections or straight into a queue."""

import asyncio
import json
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from imsg_channels import METHODS
from imsg_contract.topology import Lane, Topology
from imsg_testing.brokers import open_ready
from imsg_testing.fault_clients import GIVES_UP_AFTER_S, PAUSE_S, REPEATABLE, Clients
from imsg_testing.jobs import make_job

CONNECTIONS = 48

CONTENT = {"subject": "故障", "text": "您好"}

ANSWER_WITHIN_S = 60.0


def flood(clients: Clients, url: str, count: int, choose_fields: Callable[[], Mapping[str, str]] = dict) -> None:
    """Send `count` requests with one recipient each, and the fields chosen for each of them.

    One that is answered to be repeated is repeated. Raises a group of AssertionError if one is refused.
    """
    asyncio.run(_flood(clients, url, count, choose_fields))


async def _flood(clients: Clients, url: str, count: int, choose_fields: Callable[[], Mapping[str, str]]) -> None:
    host, port = urlsplit(url).hostname, urlsplit(url).port
    assert host is not None
    waiting = iter(clients.draw(count))

    async def go_on() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        with closing(writer):
            for to in waiting:
                fields = {"token": clients.token, "method": "smtp", "to": to, "content": CONTENT, **choose_fields()}
                body = json.dumps(fields).encode()
                lines = (
                    "POST /api/v2/messages HTTP/1.1", f"host: {host}:{port}", f"content-length: {len(body)}",
                    f"idempotency-key: {secrets.token_hex(8)}", "", "",
                )  # fmt: skip
                until, said = time.monotonic() + GIVES_UP_AFTER_S, dict[str, object]()
                while not said or (said.get("reason") in REPEATABLE and time.monotonic() < until):
                    if said:
                        await asyncio.sleep(PAUSE_S)
                    writer.write("\r\n".join(lines).encode() + body)
                    async with asyncio.timeout(ANSWER_WITHIN_S):
                        said = await _answer(reader)
                assert said["errorCode"] == 0, said
                clients.accepted[str(said["id"])] = [to]
        await writer.wait_closed()

    async with asyncio.TaskGroup() as flooding:
        for _ in range(CONNECTIONS):
            flooding.create_task(go_on())


async def _answer(reader: asyncio.StreamReader) -> dict[str, object]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    assert length is not None, head
    body: dict[str, object] = json.loads(await reader.readexactly(int(length.group(1))))
    return body


def pile_up(broker_url: str, count: int) -> None:
    """Publish `count` single mails to their queue, each confirmed, as a gateway does."""
    asyncio.run(_pile_up(broker_url, count))


async def _pile_up(broker_url: str, count: int) -> None:
    topology = Topology(methods=METHODS)
    route = topology.direct(topology.queue("smtp", Lane.NORMAL))
    bodies = _jobs(count)
    async with open_ready(broker_url, topology) as broker:

        async def go_on() -> None:
            for body in bodies:
                await broker.publish(body, route)

        await asyncio.gather(*(go_on() for _ in range(256)))


def _jobs(count: int) -> Iterator[bytes]:
    now = datetime.now(UTC)
    for number in range(count):
        to = f"pile{number}@example.com"
        yield make_job(to, at=now, username="admin", content=CONTENT, expires_at=now + timedelta(days=1)).encode()


def rss_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    match = re.search(r"^VmRSS:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None, f"process {pid} has ended"
    return int(match.group(1)) / 1024
