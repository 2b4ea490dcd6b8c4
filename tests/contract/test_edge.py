"""The edge in front of replicas that hang, refuse and leave: no client waits, and no send is repeated."""

import asyncio
import json
import secrets
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from imsg.trace import read_line
from imsg_testing.edge import CADDY, CADDYFILE, Edge, Names
from imsg_testing.processes import Process
from imsg_testing.servers import accepts, reserve_port
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.long

HOSTS = ("127.0.0.2", "127.0.0.3")
WITHIN_S = 60.0
ACCEPTED = {"/api": "0" * 32, "/api/v2": "1" * 32}
"""The door of a send → the id that its answer has in a header."""

REPLICA = """
import asyncio, sys
host, port, file = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], "ab", buffering=0)
async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
            fields = dict(line.lower().split(": ", 1) for line in head.split("\\r\\n")[1:] if line)
            await reader.readexactly(int(fields.get("content-length", 0)))
            path = head.split(" ")[1]
            if not path.startswith("/health/open"):
                file.write((path + "\\n").encode())
            extra = {
                "/api/send": "X-IMSG-Id: " + "0" * 32 + "\\r\\n",
                "/api/v2/messages": "Location: /api/v2/requests/" + "1" * 32 + "\\r\\n",
                "/api/v2/elsewhere": "Location: /api/v2/requests/SECRET\\r\\n",
            }.get(path, "")
            head = "HTTP/1.1 200 OK\\r\\n%sContent-Length: %d\\r\\n\\r\\n" % (extra, len(host))
            writer.write((head + host).encode())
            await writer.drain()
    except asyncio.IncompleteReadError:
        writer.close()
async def main():
    async with await asyncio.start_server(serve, host, port) as server:
        await server.serve_forever()
asyncio.run(main())
"""


class Replica:
    """A stand-in that answers everything with its address, and records its requests."""

    def __init__(self, host: str, port: int, folder: Path) -> None:
        self.host = host
        self._seen = folder / f"{host}.seen"
        self._seen.touch()
        command = (sys.executable, "-c", REPLICA, host, str(port), str(self._seen))
        self.process = Process(command, log=folder / f"{host}.log")

    @property
    def seen(self) -> Sequence[str]:
        """The paths it was asked for."""
        return self._seen.read_text().split()


@pytest.fixture
def replicas(tmp_path: Path) -> Iterator[tuple[Replica, Replica, Edge]]:
    """Run two gateways' stand-ins and the edge before them."""
    port = reserve_port()
    with ExitStack() as stack:
        names = stack.enter_context(Names({"gateway": HOSTS, "console": HOSTS}))
        one, other = (Replica(host, port, tmp_path) for host in HOSTS)
        for each in (one, other):
            stack.callback(each.process.close)
            each.process.start()
        yield one, other, stack.enter_context(Edge(names, port))


async def ask(client: httpx.AsyncClient, verb: str, path: str, body: bytes = b"") -> tuple[int, str]:
    """Make a call; return the status and the answering replica."""
    answer = await client.request(verb, path, content=body or None)
    return answer.status_code, answer.text


async def both_answer(client: httpx.AsyncClient) -> None:
    """Wait until both replicas are asked in turn."""

    async def is_said() -> bool:
        return {(await ask(client, "GET", "/api/v2/me"))[1] for _ in range(4)} == set(HOSTS)

    await eventually(is_said, WITHIN_S)


@pytest.mark.parametrize(
    ("verb", "path", "size"),
    [("GET", "/api/v2/messages", 0), ("POST", "/api/v2/messages", 300), ("POST", "/api/v2/messages", 300_000)],
    ids=["query", "send", "long send"],
)
async def test_a_replica_that_hangs_is_left_alone_until_it_goes_on(
    replicas: tuple[Replica, Replica, Edge], verb: str, path: str, size: int
) -> None:
    one, other, edge = replicas
    async with httpx.AsyncClient(base_url=edge.url, timeout=60) as client:
        await both_answer(client)
        one.process.pause()
        caught = [asyncio.create_task(ask(client, verb, f"{path}?caught={n}", b"x" * size)) for n in range(4)]
        await eventually(lambda: _is_left_alone(client, caught), WITHIN_S)
        answers = [await ask(client, verb, f"{path}?n={n}", b"x" * size) for n in range(200)]
        assert set(answers) == {(200, other.host)}
        one.process.signal(signal.SIGCONT)
        assert all(status == 200 for status, _ in await asyncio.gather(*caught)), "what was caught is answered"
        await both_answer(client)
    assert [seen for seen in one.seen if "?n=" in seen] == [], "it was left alone"
    asked = Counter((*one.seen, *other.seen))
    assert all(count == 1 for seen, count in asked.items() if "?" in seen), "nothing is handed over twice"


async def _is_left_alone(client: httpx.AsyncClient, caught: list[asyncio.Task[tuple[int, str]]]) -> bool:
    """Return whether four calls at once are all answered; what is not joins the caught ones."""
    asking = [asyncio.create_task(ask(client, "GET", f"/api/v2/me?caught={secrets.token_hex(8)}")) for _ in range(4)]
    _, waiting = await asyncio.wait(asking, timeout=1)
    caught += waiting
    return not waiting


async def test_a_send_that_a_replica_keeps_is_answered_as_unknown_and_not_repeated(
    replicas: tuple[Replica, Replica, Edge],
) -> None:
    one, other, edge = replicas
    async with httpx.AsyncClient(base_url=edge.url, timeout=60) as client:
        await both_answer(client)
        one.process.pause()
        tasks = [asyncio.create_task(client.post(f"/api/v2/messages?n={n}", json={})) for n in range(4)]
        answers = await asyncio.gather(*tasks)
        one.process.signal(signal.SIGCONT)
    kept = [answer for answer in answers if answer.status_code != 200]
    assert kept
    assert {(answer.status_code, answer.json()["reason"]) for answer in kept} == {(503, "outcome_unknown")}
    assert all("retry-after" in answer.headers for answer in kept)
    await eventually(lambda: _are_seen(one, len(kept)), WITHIN_S)
    assert len([path for path in other.seen if path.startswith("/api/v2/messages")]) == 4 - len(kept)


async def _are_seen(replica: Replica, count: int) -> bool:
    return len([path for path in replica.seen if path.startswith("/api/v2/messages")]) == count


async def test_a_replica_that_refuses_is_passed_over_at_once(replicas: tuple[Replica, Replica, Edge]) -> None:
    one, other, edge = replicas
    async with httpx.AsyncClient(base_url=edge.url, timeout=60) as client:
        await both_answer(client)
        one.process.kill()
        answers = [await ask(client, "POST", f"/api/v2/messages?n={n}", b"x") for n in range(100)]
        assert set(answers) == {(200, other.host)}
        long = [await ask(client, "POST", f"/api/v2/messages?long={n}", b"x" * 300_000) for n in range(20)]
        assert set(long) == {(200, other.host)}
        one.process.start()
        await both_answer(client)
        assert accepts(int(edge.url.rpartition(":")[2]))


async def test_without_any_replica_the_edge_answers_itself(replicas: tuple[Replica, Replica, Edge]) -> None:
    one, other, edge = replicas
    async with httpx.AsyncClient(base_url=edge.url, timeout=60) as client:
        await both_answer(client)
        for each in (one, other):
            each.process.kill()
        answer = await client.post("/api/v2/messages", json={}, headers={"X-Forwarded-Proto": "https"})
        assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"


async def test_whoever_came_by_https_is_told_to_come_so_again(replicas: tuple[Replica, Replica, Edge]) -> None:
    _, _, edge = replicas
    async with httpx.AsyncClient(base_url=edge.url, timeout=WITHIN_S) as client:
        told = await client.get("/api/v2/me", headers={"X-Forwarded-Proto": "https"})
        assert told.headers["strict-transport-security"] == "max-age=31536000"
        assert "strict-transport-security" not in (await client.get("/api/v2/me")).headers


async def test_broken_off_bodies_do_not_count_against_a_replica(replicas: tuple[Replica, Replica, Edge]) -> None:
    """Otherwise any client could block every replica."""
    _, _, edge = replicas
    host, port = edge.url.removeprefix("http://").split(":")
    async with httpx.AsyncClient(base_url=edge.url, timeout=60) as client:
        await both_answer(client)
        for size in (1_000, 300_000):
            for _ in range(8):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"POST /api/v2/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nhalf" % size)
                await writer.drain()
                writer.close()
        assert {(await ask(client, "GET", "/api/v2/me"))[1] for _ in range(4)} == set(HOSTS)


async def test_each_answer_is_one_line_without_secrets(replicas: tuple[Replica, Replica, Edge]) -> None:
    """The path of a hook and of who unsubscribes is a secret, a parameter may be one, and a header the token."""
    _, _, edge = replicas
    asked = {
        "/hooks/sms/main/SECRET": "/hooks",
        "/hooksSECRET": "",
        "/u/SECRET": "/u",
        "/api/send": "/api",
        "/api/v2/messages": "/api/v2",
        "/api/v2/elsewhere": "/api/v2",
        "/api/v2/messages/SECRET?token=SECRET": "/api/v2",
        "/SECRET?token=SECRET": "",
        "//u/SECRET": "",
    }
    headers = {"Authorization": "Bearer SECRET", "Cookie": "SECRET", "User-Agent": "asks"}
    async with httpx.AsyncClient(base_url=edge.url, timeout=60, headers=headers) as client:
        await both_answer(client)
        for path in asked:
            await client.request("PUT", edge.url + path)
        await eventually(lambda: _are_logged(edge, len(asked)), WITHIN_S)
    lines = read_lines(edge)

    assert [line["request"]["uri"] for line in lines] == list(asked.values())
    assert all(line["timestamp"] and line["duration"] and line["status"] for line in lines)
    sent = {line["request"]["uri"]: line for line in lines if line.get("user_id")}
    assert {door: line["user_id"] for door, line in sent.items()} == ACCEPTED
    assert "SECRET" not in (edge.folder / "log").read_text()
    for door, line in sent.items():
        step = read_line(f"caddy-1  | {json.dumps(line)}")
        assert step is not None
        assert (step.source, step.what) == ("caddy-1", "handled request")
        assert ACCEPTED[door] in step.detail


def read_lines(edge: Edge) -> list[dict[str, Any]]:
    """Return the access lines of PUT requests."""
    whole = (edge.folder / "log").read_text().rpartition("\n")[0]  # the last line may be half written
    lines = [line for line in whole.splitlines() if line.startswith("{")]
    answered = [line for line in map(json.loads, lines) if line.get("logger", "").startswith("http.log.access")]
    return [line for line in answered if line["request"]["method"] == "PUT"]


async def _are_logged(edge: Edge, count: int) -> bool:
    return len(read_lines(edge)) == count


def test_no_line_of_the_edge_names_a_url_or_a_header() -> None:
    """The path of a hook and of who unsubscribes is a secret, a parameter may be one, and a header the token."""
    command = [str(CADDY), "adapt", "--config", str(CADDYFILE), "--adapter", "caddyfile"]
    written = subprocess.run(command, check=True, capture_output=True, timeout=60)
    logs = json.loads(written.stdout)["logging"]["logs"].values()
    encoders = [log["encoder"] for log in logs if log.get("writer", {}).get("output") != "discard"]

    assert encoders
    for encoder in encoders:
        assert encoder["format"] == "filter"
        fields = {name: field["filter"] for name, field in encoder["fields"].items()}
        assert fields["request>headers"] == "delete"
        assert fields["request>uri"] == "delete" or fields["resp_headers"] == "delete", "the access line has the door"
