"""The contest's own parts: the load that knows what was accepted, the operator, and the figures."""

import asyncio
import struct
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from imsg_bench.peers.__main__ import PEERS, page, result
from imsg_bench.peers.contest import Outcome
from imsg_bench.peers.flood import Plan, fill, flood
from imsg_bench.peers.operator import DeliveryLog, Smpp, destination
from imsg_bench.peers.ours import http_post
from imsg_bench.peers.peer import read_numbers
from imsg_testing.tcp_server import serve_tcp

ENOUGH = 10


def plan(protocol: str, port: int, request: str, accepted: str) -> Plan:
    """Plan a load of two connections, until the server has seen so many messages."""
    return Plan(protocol, port, request, accepted, ENOUGH, 2, 100, "", "Subject: {number}\r\n\r\nhello")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what a server is to note of each message. The load's clock is their number."""
    noted: list[str] = []
    monkeypatch.setattr("imsg_bench.peers.flood.time", SimpleNamespace(monotonic=lambda: float(len(noted))))
    return noted


async def test_what_an_http_server_accepts_is_known_by_its_number(seen: list[str]) -> None:
    """The first answer is a refusal, the next ones are in chunks."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            body = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
            seen.append(body.decode())
            if len(seen) == 1:
                writer.write(b"HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\nno")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n0\r\n\r\n")

    async with serve_tcp(serve) as port:
        found = await flood(plan("http", port, http_post("/", "{number}"), "yes"))
    numbers = [int(number) for number in seen]
    assert numbers[0] == 100
    assert sorted(found.accepted) == sorted(numbers[1:])
    assert found.refused == 1


async def test_what_a_mail_server_accepts_is_known_by_its_number(seen: list[str]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := (await reader.readline()).decode().strip():
            if line.startswith("RCPT"):
                seen.append(line)
            if line == "DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250-two lines\r\n250 ok\r\n" if line.startswith("EHLO") else b"250 ok\r\n")

    async with serve_tcp(serve) as port:
        found = await flood(plan("smtp", port, "probe-{number}@example.com", "250 "))
    assert "RCPT TO:<probe-00000100@example.com>" in seen
    assert found.refused == 0
    assert len(found.accepted) == len(seen) >= ENOUGH


async def test_a_server_that_goes_away_leaves_what_it_did_not_answer_uncounted(seen: list[str]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.close()

    async with serve_tcp(serve) as port:
        found = await flood(plan("http", port, http_post("/", "{number}"), "yes"))
    assert found.accepted == []
    assert found.unanswered > 0


def test_every_request_is_as_long_as_its_content_length() -> None:
    head, _, body = fill(http_post("/", '{"to": "{number}"}'), 7).partition("\r\n\r\n")
    assert int(head.partition("content-length: ")[2]) == len(body)
    assert body == '{"to": "00000007"}'


def submit(sequence: int, number: str) -> bytes:
    """Make a submit_sm with empty source and a text, as far as it matters."""
    body = b"\0" + b"\1\1source\0" + b"\1\1" + number.encode() + b"\0" + bytes(9) + b"\5hello"
    return struct.pack(">IIII", 16 + len(body), 4, 0, sequence) + body


class Written(asyncio.Transport):
    """What was written."""

    def __init__(self) -> None:
        super().__init__()
        self.data = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Store the data."""
        self.data += data


def test_the_operator_answers_every_command_in_pieces_too(tmp_path: Path) -> None:
    said = struct.pack(">IIII", 16, 9, 0, 1) + submit(2, "8613800000001") + submit(3, "8613800000002")
    written = Written()
    with closing(DeliveryLog(tmp_path)) as book:
        session = Smpp(book)
        session.connection_made(written)
        for at in range(0, len(said), 7):
            session.data_received(said[at : at + 7])
    kinds = []
    while written.data:
        length, kind, status, sequence = struct.unpack_from(">IIII", written.data)
        kinds.append((kind, status, sequence))
        written.data = written.data[length:]
    assert kinds == [(0x80000009, 0, 1), (0x80000004, 0, 2), (0x80000004, 0, 3)]
    numbers = read_numbers(tmp_path / "numbers", lambda word: word.removeprefix("86138"))
    assert numbers == {1: 1, 2: 1}


def test_a_destination_is_read_behind_the_source() -> None:
    assert destination(submit(1, "8613800000001")[16:]) == "8613800000001"


def outcome(name: str, delivered: float, gone: int) -> Outcome:
    """Make what was found of a contender."""
    return Outcome(name, "what", "settings", "1", 2 * delivered, delivered, 100.0, 0, 1_000, gone, 0, 5.0, 1.0)


def test_ours_is_held_against_the_best_that_loses_nothing() -> None:
    found = result([outcome("iMSG", 500, 0), outcome("Quick", 5_000, 12), outcome("Safe", 250, 0)])
    assert found.find("delivered, iMSG ÷ best that loses nothing: Safe").middle == pytest.approx(2)
    assert found.find("iMSG, gone after kill -9").is_met


def test_the_page_lists_those_first_that_lose_nothing_and_names_what_is_missing() -> None:
    document = {"scale": "quick", "at": "now", "machine": {"cores": "2"}}
    said = page(document, [outcome("Quick", 5_000, 12), outcome("Safe", 250, 0)])
    assert said.index("| Safe | 500 | 250 | 1,000 | 0 |") < said.index("| Quick | 10,000 | 5,000 | 1,000 | 12 |")
    assert "Apprise-API" in said


def test_every_contender_states_what_it_is_and_how_it_is_set() -> None:
    assert len({kind.NAME for kind in PEERS}) == len(PEERS)
    assert all(kind.WHAT and kind.SETTINGS for kind in PEERS)
