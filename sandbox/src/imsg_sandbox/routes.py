"""The sandbox over HTTP: its inbox, its faults, and what its magic recipients do."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_runtime.memory import give_back
from imsg_sandbox import magic
from imsg_sandbox.admission import Admission
from imsg_sandbox.body import read_body
from imsg_sandbox.faults import LATENCY_MS, SUPPORTED, Fault, Faults, Order
from imsg_sandbox.inbox import PATH, Contents, Inbox, Kept, show, show_head
from imsg_web.responses import JSON, PRIVATE, Answer, encode, ok, wrong_field

MAX_TIMES = 1_000_000
MAX_LATENCY_MS = 600_000

PAGE_MESSAGES = 500

PAGE_BYTES = 1024 * 1024
"""A page of the inbox ends behind the message that brings it over this."""


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
    async def about() -> Answer:
        """Say what there is."""
        return Answer(
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
    async def list_faults() -> Answer:
        """Answer the faults in force."""
        return Answer(ok(faults=[_show(order) for order in faults.list_orders()]))

    @router.put("/faults")
    async def order(request: Request) -> Answer:
        """Order a fault: the next `times` messages meet it; without times, all do until it is taken back (0)."""
        faults.place(_read(await read_body(request)))
        return Answer(ok(faults=[_show(order) for order in faults.list_orders()]))

    @router.delete("/faults")
    async def calm() -> Answer:
        """Take every fault back."""
        faults.clear()
        return Answer(ok(faults=[]))

    _add_inbox(router, inbox)
    return router


def _add_inbox(router: APIRouter, inbox: Inbox) -> None:
    @router.get("/inbox")
    async def look(
        method: str | None = None,
        to: str | None = None,
        limit: Annotated[int, Query(ge=1, le=PAGE_MESSAGES)] = PAGE_MESSAGES,
        cursor: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        """Answer the newest that arrived, oldest first; `next` is the cursor of those before, null where none are."""
        found = inbox.list_newest(method or None, to or None, cursor, limit + 1)
        return await asyncio.to_thread(_write_page, inbox, found, limit)

    @router.get("/inbox/{number}")
    async def show_one(number: int, most: Annotated[int | None, Query(ge=1)] = None) -> Response:
        """Answer one message whole; `most`: so many characters of each text and of its source."""
        kept = _find(inbox, number)

        def write() -> Response:
            return _answer(encode(ok(**show(kept, inbox.read(kept.message), most))))

        return await asyncio.to_thread(write)

    @router.get("/inbox/{number}/attachments/{n}")
    async def download(number: int, n: int) -> Response:
        """Answer the bytes of an attachment."""
        kept = _find(inbox, number)
        contents = await asyncio.to_thread(inbox.read, kept.message)
        if not 0 <= n < len(contents.attachments):
            raise Refusal("not_found", what=f"{kept.url}/attachments/{n}")
        file = contents.attachments[n]
        name = quote(file.filename or "attachment", safe="", errors="replace")
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return _answer(file.content, "application/octet-stream", headers)

    @router.delete("/inbox")
    async def empty() -> Answer:
        """Forget what arrived."""
        removed = inbox.clear()
        await asyncio.to_thread(give_back)
        return Answer(ok(removed=removed))


def _find(inbox: Inbox, number: int) -> Kept:
    kept = inbox.get(number)
    if kept is None:
        raise Refusal("not_found", what=f"{PATH}/{number}")
    return kept


def _write_page(inbox: Inbox, found: Sequence[Kept], limit: int) -> Response:
    """Write a page of heads, given newest first and one more than it may hold."""
    heads: list[bytes] = []
    size = 0
    source, contents = b"", Contents()
    for kept in found[:limit]:
        if kept.message.raw is not source or kept.message.text is not None:  # everybody of a mail has the same source
            source, contents = kept.message.raw, inbox.read(kept.message)
        heads.append(encode(show_head(kept, contents)))
        size += len(heads[-1])
        if size > PAGE_BYTES:
            break
    last = found[len(heads) - 1].number if len(heads) < len(found) else None
    body = encode(ok(messages=[], next=None if last is None else str(last)))
    return _answer(body.replace(b'"messages":[]', b'"messages":[' + b",".join(reversed(heads)) + b"]", 1))


def _answer(body: bytes, media_type: str = JSON, headers: Mapping[str, str] | None = None) -> Response:
    private = {name.decode(): value.decode() for name, value in PRIVATE}
    return Response(body, media_type=media_type, headers={**private, **(headers or {})})


def _read(body: bytes) -> Order:
    try:
        asked = FaultOrder.model_validate_json(body or b"null")
    except ValidationError as error:
        raise wrong_field(error.errors()[0]) from error
    known = SUPPORTED.get(asked.method)
    if known is None:
        raise _unfit("method", sorted(SUPPORTED))
    if asked.fault not in known:
        raise _unfit("fault", sorted(known))
    return Order(asked.method, asked.fault, asked.times, asked.ms)


def _unfit(field: str, fit: list[Any]) -> Refusal:
    listed = ", ".join(map(str, fit))
    return Refusal("wrong_type", field=field, why_zh=f"应为{listed}之一", why_en=f"must be one of {listed}")


def _show(order: Order) -> dict[str, Any]:
    return {"method": order.method, "fault": order.fault, "times": order.times, "ms": order.ms}
