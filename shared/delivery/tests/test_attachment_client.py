"""What a channel receives of an attachment: the bytes, or the reason and the time to retry."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imsg_contract.results import Again, Blocked, Refused
from imsg_contract.wire import Reference
from imsg_delivery.attachment_client import AttachmentClient
from imsg_web.service_client import connect

BODY = "您好".encode()
AT = Reference(size=len(BODY), sha256=hashlib.sha256(BODY).hexdigest())


@asynccontextmanager
async def client(status: int, body: bytes = BODY) -> AsyncIterator[AttachmentClient]:
    """Open one to a history that answers everything so."""

    async def answer(request: Request) -> Response:
        assert request.url.path == f"/internal/attachments/r1/{AT.sha256}"
        return Response(body, status)

    history = Starlette(routes=[Route("/{path:path}", answer)])
    async with connect("http://history", (SecretStr("key"),), {"history": history}) as peer:
        yield AttachmentClient(peer, "wechat", kind="content")


async def test_it_gives_the_bytes_that_were_put_there() -> None:
    async with client(200) as contents:
        assert await contents.fetch("r1", AT) == BODY


async def test_what_is_kept_no_more_is_refused_for_good() -> None:
    async with client(404) as contents:
        answer = await contents.fetch("r1", AT)

    assert isinstance(answer, Refused)
    assert (answer.provider, answer.code) == ("wechat", "content_gone")


async def test_other_bytes_than_were_put_there_are_asked_for_again() -> None:
    async with client(200, b"other") as contents:
        answer = await contents.fetch("r1", AT)

    assert isinstance(answer, Again)
    assert answer.code == "content_damaged"


@pytest.mark.parametrize("status", [500, 503, 403])
async def test_a_history_that_can_not_answer_blocks_and_uses_up_no_attempt(status: int) -> None:
    async with client(status) as contents:
        answer = await contents.fetch("r1", AT)

    assert isinstance(answer, Blocked)
    assert answer.code == "history_away"
