"""The open loop: its schedule, and that a server which stalls is charged for all requests that waited."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import pytest

from imsg_bench import openloop
from imsg_bench.codes import Codes
from imsg_bench.openloop import OpenLoop, request, schedule
from imsg_testing.tcp_server import serve_tcp

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"errorCode":0}'


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openloop, "ANSWER_TIMEOUT_S", 60.0)


def test_a_schedule_is_even_and_as_long_as_asked() -> None:
    assert schedule(4, 1) == [0, 0.25, 0.5, 0.75]
    assert len(schedule(1_500, 4)) == 6_000


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (10, 0), (-1, 1)])
def test_no_rate_has_no_schedule(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="a rate and a length"):
        schedule(rate, seconds)


def test_a_request_is_whole() -> None:
    assert request("http://127.0.0.1:80/api/send", b"{}").endswith(b"content-length: 2\r\n\r\n{}")


@asynccontextmanager
async def answering(answer: bytes, stall_s: float = 0.0) -> AsyncIterator[str]:
    """Answer every request, the first after a stall."""
    waits = [stall_s]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            await asyncio.sleep(waits.pop() if waits else 0)
            for at in range(0, len(answer), 20):  # in pieces, as the network may bring it
                writer.write(answer[at : at + 20])
                await writer.drain()

    async with serve_tcp(serve) as port:
        yield f"http://127.0.0.1:{port}/api/send"


async def test_every_request_of_the_schedule_is_timed() -> None:
    async with answering(ANSWER) as url:
        load = OpenLoop(url, b"{}", schedule(200, 0.2), connections=4)
        await load.run()
        load.close()
    assert len(load.latencies) == 40
    assert load.refused == 0


async def test_whom_a_stall_kept_waiting_is_charged_for_it() -> None:
    """One connection, a stall of 200 ms: ten requests fell due meanwhile, and the first of them waited nearly all."""
    async with answering(ANSWER, stall_s=0.2) as url:
        load = OpenLoop(url, b"{}", [number * 0.02 for number in range(10)], connections=1)
        await load.run()
        load.close()
    assert load.latencies[0] >= 0.19
    assert load.latencies[1] >= 0.17
    assert sum(latency > 0.1 for latency in load.latencies) >= 4


async def test_a_refusal_is_counted() -> None:
    async with answering(ANSWER.replace(b":0}", b":9}")) as url:
        load = OpenLoop(url, b"{}", [0, 0.01], connections=2)
        await load.run()
        load.close()
    assert load.refused == 2


async def test_what_is_accepted_while_requests_leave_is_counted_apart() -> None:
    """The goodput of an overload: here the server stalls for longer than the whole schedule lasts."""
    async with answering(ANSWER, stall_s=0.2) as url:
        load = OpenLoop(url, b"{}", [number * 0.01 for number in range(10)], connections=1)
        await load.run()
        load.close()
    assert load.in_time == 0
    assert len(load.latencies) == 10


async def test_each_code_has_an_address_of_its_own_and_none_waits_for_another() -> None:
    """One that the server stalls keeps no other from leaving: it gets a connection of its own."""
    others, have_left = count(1), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65_536):
            if b"probe-a-0@" in asked:
                await have_left.wait()
            elif next(others) == 4:
                have_left.set()
            writer.write(ANSWER)

    async with serve_tcp(serve) as port:
        codes = Codes(f"http://127.0.0.1:{port}/api/send", ['{"to":"ADDRESS"}', '{"to":"ADDRESS","x":1}'], "probe-a")
        sent = await codes.run(schedule(20, 0.25))
    assert [code.address for code in sent] == [f"probe-a-{number}@example.com" for number in range(5)]
    assert all(code.accepted for code in sent)


async def test_a_code_leaves_on_another_connection_where_the_free_one_was_closed_meanwhile() -> None:
    async def serve_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(ANSWER)
        writer.close()

    async with serve_tcp(serve_once) as port:
        sent = await Codes(f"http://127.0.0.1:{port}/api/send", ["{}"], "code").run([0.0, 0.1, 0.2])
    assert [code.accepted for code in sent] == [True, True, True]
