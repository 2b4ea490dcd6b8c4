"""The sandbox over HTTP: its inbox, its faults, and what its magic recipients do."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response, StreamingResponse

from imsg_contract.errors import Refusal
from imsg_runtime.responses import JSON, PRIVATE, Answer, encode, ok, wrong_field
from imsg_sandbox import magic
from imsg_sandbox.admission import Admission
from imsg_sandbox.body import read_body
from imsg_sandbox.faults import LATENCY_MS, SUPPORTED, Fault, Faults, Order
from imsg_sandbox.inbox import Inbox, Received

MAX_TIMES = 1_000_000
MAX_LATENCY_MS = 600_000

PIECE_BYTES = 1024 * 1024
"""How much of the messages' sources is written at once."""


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
                inbox="GET /sandbox/inbox?method=&to=&limit=, DELETE /sandbox/inbox",
                faults="GET, PUT {method, fault, times, ms?} and DELETE /sandbox/faults",
                supported={method: sorted(known) for method, known in SUPPORTED.items()},
                magic_recipients=magic.explain(),
                aliyun={"path": "/sandbox/aliyun/", "port": aliyun_port},
            )
        )

    @router.get("/inbox")
    async def look(
        method: str | None = None,
        to: str | None = None,
        limit: Annotated[int | None, Query(ge=1)] = None,
        most: Annotated[int | None, Query(ge=1)] = None,
    ) -> Response:
        """Answer what arrived, oldest first; `limit`: the newest so many, `most`: so many characters of each text."""
        found = inbox.find(method or None, to or None)
        if limit is not None:
            found = found[-limit:]
        headers = {name.decode(): value.decode() for name, value in PRIVATE}
        return StreamingResponse(_pieces(inbox, found, most), media_type=JSON, headers=headers)

    @router.delete("/inbox")
    async def empty() -> Answer:
        """Forget what arrived."""
        return Answer(ok(removed=inbox.clear()))

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

    return router


async def _pieces(inbox: Inbox, found: Sequence[Received], most: int | None) -> AsyncIterator[bytes]:
    """Write an answer message by message: of a hundred megabytes at once the loop would wait for seconds."""
    head = encode(ok(messages=[]))
    yield head.removesuffix(b"]}")
    waiting = list(found)
    is_first = True
    while waiting:
        size = 0
        count = 0
        while count < len(waiting) and (not count or size + len(waiting[count].raw) <= PIECE_BYTES):
            size += len(waiting[count].raw)
            count += 1
        some, waiting = waiting[:count], waiting[count:]
        shown = await asyncio.to_thread(_encode, inbox, some, most)
        yield shown if is_first else b"," + shown
        is_first = False
    yield b"]}"


def _encode(inbox: Inbox, some: Sequence[Received], most: int | None) -> bytes:
    return b",".join(encode(inbox.show(one, most)) for one in some)


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
