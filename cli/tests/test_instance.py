"""Which iMSG answers, whatever answers."""

import asyncio
from asyncio import StreamReader, StreamWriter

import pytest

from imsg.instance import find_instance
from imsg.location import find_url
from imsg_runtime.settings import StartError
from imsg_testing.tcp_server import serve_tcp


@pytest.mark.parametrize("body", ["[]", "null", "5", '"ok"', '{"detail":"Not Found"}', "<html>"])
async def test_what_answers_otherwise_than_imsg_is_something_else(body: str) -> None:
    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()

    async with serve_tcp(answer) as port:
        running = await asyncio.to_thread(find_instance, f"http://127.0.0.1:{port}")

    assert running.finding.state == f"something else answers at http://127.0.0.1:{port}"
    assert "--url" in running.finding.remedy
    assert running.names == {}


def test_a_url_that_is_none_is_refused_with_how_one_is_written() -> None:
    with pytest.raises(StartError, match=r"http://127\.0\.0\.1:8000"):
        find_url("http://[::1")
