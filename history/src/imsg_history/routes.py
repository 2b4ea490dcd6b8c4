"""History's URLs: the public ones that the gateway relays, and those for services alone."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Request
from starlette.responses import Response

from imsg_channels import METHODS
from imsg_contract import error_responses
from imsg_contract.errors import Refusal
from imsg_contract.wire import Status
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.addressees import Addressees
from imsg_history.attachments import MAX_BYTES, Attachments, Place
from imsg_history.cursors import DEFAULT_LIMIT, MOST
from imsg_history.dead_letters import DeadLetters
from imsg_history.erasures import Erasures
from imsg_history.filters import read_query, read_time
from imsg_history.overview import Overviews
from imsg_history.query import MessageQuery
from imsg_history.records import MAX_CODE
from imsg_history.replies import Replies, read_filter
from imsg_history.request_list import RequestList
from imsg_history.resend import Resends
from imsg_history.schemas import (
    DeadAnswer,
    DeadListAnswer,
    ErasureAnswer,
    ErasureAsked,
    ErasureStateAnswer,
    MessagesAnswer,
    QueryAnswer,
    RepliesAnswer,
    RequestAnswer,
    RequestsAnswer,
    StatsAnswer,
)
from imsg_history.statements import WINDOW
from imsg_history.stats import MOST_BUCKETS, Counter, read_span
from imsg_runtime import bodies
from imsg_runtime.api_responses import describe_answers, speak
from imsg_runtime.responses import Answer, ok, refuse_with
from imsg_runtime.service_client import Caller, Internal

RETRY_AFTER_S = 3


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes call."""

    finder: MessageQuery
    overviews: Overviews
    request_list: RequestList
    replies: Replies
    counter: Counter
    attachments: Attachments
    resends: Resends
    addressees: Addressees
    dead: DeadLetters
    erasures: Erasures
    now: Callable[[], datetime]


def api(parts: Parts, internal: Internal) -> FastAPI:
    """Make the API. Every URL wants the service key; who calls is what the gateway has verified."""

    def let_in(request: Request) -> None:
        request.state.caller = internal(request)

    app = FastAPI(
        title="iMSG history", docs_url=None, redoc_url=None, redirect_slashes=False, dependencies=[Depends(let_in)]
    )
    speak(app)
    app.add_exception_handler(DatabaseUnavailable, _unavailable)
    app.include_router(_messages(parts))
    app.include_router(_dead_letters(parts))
    app.include_router(_erasures(parts))
    app.include_router(_services(parts), include_in_schema=False)
    return app


def _messages(parts: Parts) -> APIRouter:
    routes = APIRouter()

    @routes.get("/api/query", **_describe_listing(QueryAnswer, QUERY_PARAMETERS))
    async def query(request: Request, caller: User) -> Response:
        page = await parts.finder.find(read_query(request.query_params, caller))
        return Answer(ok(messages=page.messages, next=page.next))

    @routes.get("/api/messages", **_describe_listing(MessagesAnswer, V2_QUERY_PARAMETERS))
    async def listing(request: Request, caller: User) -> Response:
        page = await parts.finder.find(read_query(request.query_params, caller, is_v2=True), is_v2=True)
        return Answer(ok(messages=page.messages, next=page.next))

    @routes.get("/api/requests", **_describe_listing(RequestsAnswer, V2_QUERY_PARAMETERS))
    async def request_list(request: Request, caller: User) -> Response:
        page = await parts.request_list.find(read_query(request.query_params, caller, is_v2=True))
        return Answer(ok(requests=page.requests, next=page.next))

    @routes.get("/api/replies", **_describe_listing(RepliesAnswer, REPLY_PARAMETERS))
    async def replies(request: Request, caller: User) -> Response:
        page = await parts.replies.find(read_filter(request.query_params, caller))
        return Answer(ok(replies=page.replies, next=page.next))

    @routes.get("/api/requests/{id}", responses=describe_answers(RequestAnswer, "not_found"))
    async def overview(name: Annotated[str, Path(alias="id")], caller: User) -> Response:
        return Answer(ok(**await parts.overviews.one(name, caller)))

    @routes.get(
        "/api/stats",
        responses=describe_answers(StatsAnswer, "wrong_type", "no_right"),
        openapi_extra=_parameters(STATS_PARAMETERS),
    )
    async def stats(request: Request, caller: User) -> Response:
        span = read_span(request.query_params, caller, parts.counter.zone, parts.now())
        buckets = await parts.counter.count(span)
        return Answer(ok(bucket=span.bucket, timezone=parts.counter.zone.key, buckets=buckets))

    return routes


def _dead_letters(parts: Parts) -> APIRouter:
    routes = APIRouter(dependencies=[Depends(_administrator)])

    @routes.get(
        "/api/dead",
        responses=describe_answers(DeadListAnswer, "wrong_type", "no_right"),
        openapi_extra=_parameters(PAGE_PARAMETERS),
    )
    async def letters(request: Request) -> Response:
        page = await parts.dead.page(request.query_params.get("limit"), request.query_params.get("cursor"))
        return Answer(ok(dead=page.dead, next=page.next))

    @routes.get("/api/dead/{id}", responses=describe_answers(DeadAnswer, "not_found", "no_right"))
    async def letter(name: Annotated[str, Path(alias="id")]) -> Response:
        return Answer(ok(**await parts.dead.one(name)))

    return routes


def _erasures(parts: Parts) -> APIRouter:
    routes = APIRouter(dependencies=[Depends(_administrator)])

    @routes.post(
        "/api/erasures",
        status_code=202,
        responses=describe_answers(ErasureAnswer, *error_responses.BODY, *ERASING, "no_right", success=202),
    )
    async def begin(asked: ErasureAsked, caller: User) -> Response:
        return Answer(ok(id=await parts.erasures.begin(asked.method, asked.to, caller)), 202)

    @routes.get("/api/erasures/{id}", responses=describe_answers(ErasureStateAnswer, "not_found", "no_right"))
    async def show(name: Annotated[str, Path(alias="id")]) -> Response:
        return Answer(ok(**await parts.erasures.show(name)))

    return routes


def _services(parts: Parts) -> APIRouter:
    routes = APIRouter()

    @routes.put("/internal/attachments/{request_id}/{sha256}")
    async def put(request: Request, request_id: str, sha256: str) -> Response:
        expires_at = read_time(request.query_params, "expires_at")
        if expires_at is None:
            raise Refusal("missing", field="expires_at")
        body = await bodies.read(request.receive, MAX_BYTES)
        await parts.attachments.put(Place.read(request_id, sha256), body, expires_at)
        return Answer(ok())

    @routes.get("/internal/attachments/{request_id}/{sha256}")
    async def get(request_id: str, sha256: str) -> Response:
        body = await parts.attachments.get(Place.read(request_id, sha256))
        return Response(body, media_type="application/octet-stream")

    @routes.get("/internal/recipients/{request_id}/{n}")
    async def recipient(request_id: str, n: str) -> Response:
        return Answer(ok(**await parts.addressees.find(f"{request_id}-{n}")))

    @routes.get("/internal/resend/{name}")
    async def resend(request: Request, name: str, caller: User) -> Response:
        uncertain = request.query_params.get("uncertain") == "1"
        # A gateway of the version before says nothing of `again`, and resends what was resent.
        again = request.query_params.get("again", "1") == "1"
        return Answer(ok(**await parts.resends.draft(name, caller, uncertain=uncertain, again=again)))

    @routes.get("/internal/dead/{name}")
    async def dead(request: Request, name: str, caller: User) -> Response:
        again = request.query_params.get("again", "1") == "1"
        return Answer(ok(**await parts.resends.draft_of_dead(name, caller, again=again)))

    return routes


def _user(request: Request) -> Caller:
    caller: Caller | None = request.state.caller
    if caller is None:
        raise Refusal("no_right")
    return caller


def _administrator(request: Request) -> None:
    if not _user(request).is_admin:
        raise Refusal("no_right")


User = Annotated[Caller, Depends(_user)]


async def _unavailable(request: Request, error: Exception) -> Response:
    del error
    away = Refusal("unavailable", retry_after_s=RETRY_AFTER_S)
    return refuse_with(away, request.headers.get("accept-language", ""))


NO_NUL = r"^[^\u0000]*$"
TIME = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "number", "minimum": 0, "maximum": 253_402_300_799},
    ],
    "description": "RFC 3339, or Unix seconds.",
}
LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT}
BEFORE = "`next` of the page before."
CURSOR = {"type": "string", "pattern": "^([A-Za-z0-9_-]{27}=?)?$", "description": BEFORE}
DEAD_CURSOR = {"type": "string", "pattern": "^(A[A-Za-z0-3][A-Za-z0-9_-]{30})?$", "description": BEFORE}
REFERENCE = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": NO_NUL,
    "description": "What the client called its requests.",
}
STATUSES = {
    "type": "string",
    "pattern": "^({0})(,({0}))*$".format("|".join(status.value for status in Status)),
    "description": "One, or several with commas between them.",
}
CODE = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_CODE,
    "pattern": NO_NUL,
    "description": "An error's code, as `error.code` has it.",
}
PART = {
    "type": "string",
    "minLength": 1,
    "pattern": NO_NUL,
    "description": (
        "A part of a recipient, whatever its case; of a phone number, its digits. No index knows parts: each page is "
        f"sought among {WINDOW} messages, and may hold few or none while `next` leads on."
    ),
}
USERNAME = {"type": "string", "pattern": NO_NUL, "description": "Whose: for administrators, who else see everybody's."}
PAGE_PARAMETERS = {"limit": LIMIT, "cursor": DEAD_CURSOR}
STATS_PARAMETERS = {
    "username": USERNAME,
    "since": TIME,
    "until": TIME,
    "bucket": {
        "type": "string",
        "enum": ["hour", "day"],
        "default": "day",
        "description": f"From `since` to `until` there may be 1 to {MOST_BUCKETS}.",
    },
}
QUERY_PARAMETERS: dict[str, dict[str, Any]] = {
    "id": {
        "type": "string",
        "pattern": "^[0-9a-fA-F]{32}(-(0|[1-9][0-9]{0,8}))?$",
        "description": "A request's id, or one message's, which adds its time-line.",
    },
    "username": USERNAME,
    "method": {"type": "string", "enum": [*METHODS]},
    "status": {"type": "string", "enum": [status.value for status in Status]},
    "to": {
        "type": "string",
        "minLength": 1,
        "pattern": NO_NUL,
        "description": "An address, as written or in its normal form.",
    },
    "since": TIME,
    "until": TIME,
    "limit": LIMIT,
    "cursor": CURSOR,
}
REPLY_PARAMETERS = {
    "id": {**QUERY_PARAMETERS["id"], "description": "Those that answer a request, or one message of it."},
    "username": USERNAME,
    "method": QUERY_PARAMETERS["method"],
    "from": {**QUERY_PARAMETERS["to"], "description": "Who wrote them: a number, or as it was written to."},
    "since": TIME,
    "until": TIME,
    "limit": LIMIT,
    "cursor": DEAD_CURSOR,
}
V2_QUERY_PARAMETERS = {**QUERY_PARAMETERS, "status": STATUSES, "reference": REFERENCE, "code": CODE, "part": PART}
"""Described here and read by `filters`, which has a sentence in both languages for what is wrong."""


def _describe_listing(shape: Any, schemas: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401  a model
    """Describe for FastAPI what a listing answers and takes."""
    answers = describe_answers(shape, "wrong_type", "method_unknown", "no_right")
    return {"responses": answers, "openapi_extra": _parameters(schemas)}


def _parameters(schemas: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]}


ERASING = ("method_unknown", "recipients_invalid", "contact_in_use", "no_erasure_key")
"""What may stand in an erasure's way; who uses the address is the gateway's to find out."""
