"""The sandbox's own API: its inbox, its faults, and a list of its magic recipients."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_runtime.memory import release_memory
from imsg_sandbox import magic
from imsg_sandbox.admission import Admission
from imsg_sandbox.body import read_model
from imsg_sandbox.faults import LATENCY_MS, SUPPORTED, Fault, Faults, Order
from imsg_sandbox.inbox import PATH, Inbox, MessageContent, StoredMessage, show, show_head
from imsg_web.responses import JSON, PRIVATE, ApiResponse, encode, ok

MAX_TIMES = 1_000_000
MAX_LATENCY_MS = 600_000

PAGE_MESSAGES = 500

PAGE_BYTES = 1024 * 1024
"""A page of the inbox ends with the message that exceeds this."""


class FaultOrder(BaseModel):
    """Body of PUT /sandbox/faults."""

    model_config = ConfigDict(extra="ignore", strict=True)

    method: str
    fault: Annotated[Fault, Field(strict=False)]
    times: int | None = Field(default=None, ge=0, le=MAX_TIMES)
    ms: int = Field(default=LATENCY_MS, ge=0, le=MAX_LATENCY_MS)


def routes(inbox: Inbox, faults: Faults, admission: Admission, *, aliyun_port: int | None = None) -> APIRouter:
    """Make the routes under /sandbox."""
    router = APIRouter(prefix="/sandbox", dependencies=[Depends(admission)])

    @router.get("")
    async def about() -> ApiResponse:
        """Return the URLs of the sandbox and its magic recipients."""
        return ApiResponse(
            ok(
                inbox="GET /sandbox/inbox?method=&to=&limit=&cursor= and DELETE /sandbox/inbox",
                message="GET /sandbox/inbox/ID and /sandbox/inbox/ID/attachments/N",
                faults="GET, PUT {method, fault, times, ms?} and DELETE /sandbox/faults",
                supported={method: sorted(known) for method, known in SUPPORTED.items()},
                magic_recipients=magic.explain(),
                aliyun={"path": "/sandbox/aliyun/", "port": aliyun_port},
            )
        )

    @router.get("/faults")
    async def list_faults() -> ApiResponse:
        """List the faults in force."""
        return ApiResponse(ok(faults=[_show(order) for order in faults.list_orders()]))

    @router.put("/faults")
    async def order(request: Request) -> ApiResponse:
        """Order a fault for the next `times` messages; without `times` for all, until it is cancelled by 0."""
        faults.order(_read_order(await read_model(request, FaultOrder)))
        return ApiResponse(ok(faults=[_show(order) for order in faults.list_orders()]))

    @router.delete("/faults")
    async def clear_faults() -> ApiResponse:
        """Cancel every fault."""
        faults.clear()
        return ApiResponse(ok(faults=[]))

    _add_inbox(router, inbox)
    return router


def _add_inbox(router: APIRouter, inbox: Inbox) -> None:
    @router.get("/inbox")
    async def list_messages(
        method: str | None = None,
        to: str | None = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MESSAGES)] = PAGE_MESSAGES,
        cursor: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        """List the newest messages, oldest first; `next` is the cursor of earlier ones, null where there are none."""
        rows = inbox.list_newest(method or None, to or None, cursor, limit + 1)
        return await asyncio.to_thread(_write_page, inbox, rows, limit)

    @router.get("/inbox/{number}")
    async def show_message(number: int, most: Annotated[int | None, Query(ge=1)] = None) -> Response:
        """Return a whole message; `most` is how many characters of each text and of its source."""
        stored = _find(inbox, number)

        def write() -> Response:
            return _answer(encode(ok(**show(stored, inbox.read(stored.message), most))))

        return await asyncio.to_thread(write)

    @router.get("/inbox/{number}/attachments/{n}")
    async def download(number: int, n: int) -> Response:
        """Return the bytes of an attachment."""
        stored = _find(inbox, number)
        contents = await asyncio.to_thread(inbox.read, stored.message)
        if not 0 <= n < len(contents.attachments):
            raise Refusal("not_found", what=f"{stored.url}/attachments/{n}")
        file = contents.attachments[n]
        name = quote(file.filename or "attachment", safe="", errors="replace")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return _answer(file.content, "application/octet-stream", headers)

    @router.delete("/inbox")
    async def clear_inbox() -> ApiResponse:
        """Remove all messages."""
        removed = inbox.clear()
        await asyncio.to_thread(release_memory)
        return ApiResponse(ok(removed=removed))


def _find(inbox: Inbox, number: int) -> StoredMessage:
    stored = inbox.get(number)
    if stored is None:
        raise Refusal("not_found", what=f"{PATH}/{number}")
    return stored


def _write_page(inbox: Inbox, rows: Sequence[StoredMessage], limit: int) -> Response:
    """Return a page of heads; `rows` are newest first, and one more than the page may hold."""
    heads: list[bytes] = []
    size = 0
    source, contents = b"", MessageContent()
    for stored in rows[:limit]:
        # Recipients of one mail share its source.
        if stored.message.raw is not source or stored.message.text is not None:
            source, contents = stored.message.raw, inbox.read(stored.message)
        heads.append(encode(show_head(stored, contents)))
        size += len(heads[-1])
        if size > PAGE_BYTES:
            break
    last = rows[len(heads) - 1].number if len(heads) < len(rows) else None
    body = encode(ok(messages=[], next=None if last is None else str(last)))
    return _answer(body.replace(b'"messages":[]', b'"messages":[' + b",".join(reversed(heads)) + b"]", 1))


def _answer(body: bytes, media_type: str = JSON, headers: Mapping[str, str] | None = None) -> Response:
    private = {name.decode(): value.decode() for name, value in PRIVATE}
    return Response(body, media_type=media_type, headers={**private, **(headers or {})})


def _read_order(body: FaultOrder) -> Order:
    known = SUPPORTED.get(body.method)
    if known is None:
        raise _refuse_value("method", sorted(SUPPORTED))
    if body.fault not in known:
        raise _refuse_value("fault", sorted(known))
    return Order(body.method, body.fault, body.times, body.ms)


def _refuse_value(field: str, allowed: list[Any]) -> Refusal:
    listed = ", ".join(map(str, allowed))
    return Refusal("wrong_type", field=field, why_zh=f"应为{listed}之一", why_en=f"must be one of {listed}")


def _show(order: Order) -> dict[str, Any]:
    return {"method": order.method, "fault": order.fault, "times": order.times, "ms": order.ms}
