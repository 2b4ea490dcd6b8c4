"""Socket messages are bounded before they are parsed, and far tighter for clients that are not logged in."""

import json

import pytest
from starlette.types import Message

from imsg_console.message_bounds import STRANGERS_BYTES, bound_post, bound_socket
from imsg_contract.errors import Refusal

PASTED = "\n".join(f"员工{n}，reader{n}@example.com，2026-11-29 08:30:00" for n in range(30_000))

LONG = "42" + json.dumps(["event", {"client_id": "x", "args": [{"text": PASTED}]}])

MANY_LISTS = '42["event", {"client_id": "x", "args": [' + "[]," * 400_000 + "[]]}]"

MANY_FIELDS = "4{" + '"1": 1,' * 310_000 + '"1": 1}'


async def receive_by_socket(said: str, *, is_known: bool) -> str:
    async def receive() -> Message:
        return {"type": "websocket.receive", "text": said}

    message = await bound_socket(receive, is_known=is_known)()
    return str(message["type"])


async def receive_by_post(said: str, *, is_known: bool) -> bytes:
    async def receive() -> Message:
        return {"type": "http.request", "body": said.encode(), "more_body": False}

    bounded = await bound_post({"type": "http", "headers": []}, receive, is_known=is_known)
    body: bytes = (await bounded())["body"]
    return body


async def test_what_a_page_sends_is_let_through() -> None:
    assert await receive_by_socket(LONG, is_known=True) == "websocket.receive"
    assert await receive_by_post(LONG, is_known=True) == LONG.encode()
    handshake = "42" + json.dumps(["handshake", {"client_id": "x" * 36, "document_id": "y" * 36}])
    assert await receive_by_socket(handshake, is_known=False) == "websocket.receive"
    assert await receive_by_post(handshake, is_known=False) == handshake.encode()


@pytest.mark.parametrize(
    ("said", "is_known"),
    [
        (MANY_LISTS, True),
        (MANY_FIELDS, True),
        ("4" + "1," * 2_200_000, True),
        ("4" + "[" * (STRANGERS_BYTES + 1), False),
        (LONG, False),
    ],
    ids=["lists", "fields", "bytes", "a stranger's lists", "a stranger's text"],
)
async def test_what_no_page_sends_is_refused(said: str, is_known: bool) -> None:  # noqa: FBT001  a parameter
    assert await receive_by_socket(said, is_known=is_known) == "websocket.disconnect"
    with pytest.raises(Refusal, match="too_large"):
        await receive_by_post(said, is_known=is_known)


async def test_signs_behind_percent_signs_are_refused_too() -> None:
    with pytest.raises(Refusal, match="too_large"):
        await receive_by_post("d=4" + "%5B%5D%2C" * 400_000, is_known=True)
    with pytest.raises(Refusal, match="too_large"):
        await receive_by_post("d=4%5B%5D", is_known=True)
