"""Callbacks' URLs, which the gateway relays: endpoints, their deliveries, events."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Request
from pydantic_core import to_json
from sqlalchemy import insert, select
from starlette.datastructures import QueryParams
from starlette.responses import Response

from imsg_callbacks import signatures
from imsg_callbacks.delivery_log import DeliveryLog
from imsg_callbacks.destinations import BadUrl, read_url
from imsg_callbacks.dispatcher import Dispatcher
from imsg_callbacks.endpoints import Endpoints, write_changes
from imsg_callbacks.event_log import find_head
from imsg_callbacks.listeners import Listeners
from imsg_callbacks.matching import CHANNEL_EVENTS, TEST_EVENT, kinds_of
from imsg_callbacks.outcomes import Endpoint
from imsg_callbacks.post import TIMEOUT_S, Poster
from imsg_callbacks.reading import Reader
from imsg_callbacks.schemas import (
    DeliveriesAnswer,
    EndpointAnswer,
    EndpointAnswered,
    EndpointAsked,
    EndpointChange,
    EndpointsAnswer,
    EventsAnswer,
    NewAnswer,
    RecoveryAnswer,
    RecoveryAsked,
    SecretAnswer,
    TestAnswer,
)
from imsg_callbacks.tables import DELIVERED, FAILED, WAITING, recoveries
from imsg_callbacks.tables import log as events
from imsg_callbacks.times import rfc3339, rfc3339_or_none, to_ms
from imsg_callbacks.under_way import UnderWay
from imsg_contract import error_responses
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_database.database import Database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.api_responses import describe_answers, speak
from imsg_runtime.responses import Answer, ok, refuse_with
from imsg_runtime.service_client import Caller, Internal, ServiceUnavailable

RETRY_AFTER_S = 3
TESTS_AT_ONCE = 4
"""Test calls of one user: an endpoint that hangs holds each for as long as a call may take."""

TESTS_RETRY_AFTER_S = round(TIMEOUT_S)
DEFAULT_LIMIT, MOST = 50, 500
MOST_EVENTS = 500
LONGEST_WAIT_S = 60
RECOVERED_MS = 14 * 86_400_000
"""How far back a recovery may go."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes call."""

    database: Database
    endpoints: Endpoints
    deliveries: DeliveryLog
    dispatcher: Dispatcher
    poster: Poster
    listeners: Listeners
    reader: Reader
    now: Callable[[], int]


def api(parts: Parts, internal: Internal) -> FastAPI:
    """Make the API. Every URL wants a service's key; who calls is what the gateway has verified."""

    def let_in(request: Request) -> None:
        request.state.caller = internal(request)

    app = FastAPI(
        title="iMSG callbacks",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        strict_content_type=False,
        dependencies=[Depends(let_in)],
    )
    speak(app)
    for away in (DatabaseUnavailable, ServiceUnavailable):
        app.add_exception_handler(away, _unavailable)
    for routes in (_endpoints(parts), _one_endpoint(parts), _deliveries(parts), _events(parts)):
        app.include_router(routes)
    return app


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose endpoints are meant."""

    user_id: str
    username: str
    is_admin: bool


def _user(request: Request) -> Owner:
    caller: Caller | None = request.state.caller
    if caller is None:
        raise Refusal("no_right")
    if caller.user_id is None:  # a gateway or an auth of before users had ids: soon it is of now
        raise Refusal("unavailable", retry_after_s=RETRY_AFTER_S)
    return Owner(caller.user_id, caller.username, caller.is_admin)


User = Annotated[Owner, Depends(_user)]
Named = Annotated[str, Path(alias="id")]
BODY = (*error_responses.BODY, "wrong_type", "missing")


def _endpoints(parts: Parts) -> APIRouter:
    routes = APIRouter(prefix="/api/callbacks")

    @routes.get("", responses=describe_answers(EndpointsAnswer))
    async def listing(user: User) -> Response:
        found = await parts.endpoints.of_user(user.user_id)
        waiting = await parts.endpoints.count_waiting([one.id for one in found])
        return Answer(ok(callbacks=[_show(one, waiting.get(one.id, 0)) for one in found], next=None))

    @routes.post("", responses=describe_answers(NewAnswer, *BODY, "too_many_callbacks"))
    async def add(asked: EndpointAsked, user: User) -> Response:
        await _check_url(parts.poster, asked.url)
        _check_right(asked.events, user)
        await parts.listeners.ask(user.user_id, user.username, kinds_of(asked.events))
        name, secret = new_id(), signatures.make_secret()
        endpoint = Endpoint(
            id=name,
            user_id=user.user_id,
            username=user.username,
            is_admin=user.is_admin,
            url=asked.url,
            events=tuple(asked.events),
            methods=None if asked.methods is None else tuple(asked.methods),
            description=asked.description or "",
            secret=parts.endpoints.seal(secret, name),
            old_secret=None,
            old_until=None,
            created_at=parts.now(),
        )
        await parts.endpoints.add(endpoint)
        return Answer(ok(id=name, secret=secret), headers=PRIVATE)

    return routes


def _one_endpoint(parts: Parts) -> APIRouter:
    routes = APIRouter(prefix="/api/callbacks/{id}")
    tests = UnderWay()

    @routes.patch("", responses=describe_answers(EndpointAnswer, *BODY, "not_found"))
    async def change(name: Named, asked: EndpointChange, user: User) -> Response:
        known = await parts.endpoints.one(name, user.user_id)
        if asked.url is not None:
            await _check_url(parts.poster, asked.url)
        if asked.events is not None:
            _check_right(asked.events, user)
            await parts.listeners.ask(user.user_id, user.username, kinds_of(asked.events))
        changed = await parts.endpoints.change(name, user.user_id, _write_change(asked, known, user, parts.now()))
        parts.dispatcher.wake()
        waiting = await parts.endpoints.count_waiting([name])
        return Answer(ok(**_show(changed, waiting.get(name, 0))))

    @routes.delete("", responses=describe_answers(EndpointAnswered, "not_found"))
    async def remove(name: Named, user: User) -> Response:
        await parts.endpoints.remove(name, user.user_id)
        return Answer(ok())

    @routes.post("/rotate", responses=describe_answers(SecretAnswer, "not_found"))
    async def rotate(name: Named, user: User) -> Response:
        secret = await parts.endpoints.rotate(await parts.endpoints.one(name, user.user_id))
        rotated = await parts.endpoints.one(name, user.user_id)
        return Answer(ok(secret=secret, old_until=rfc3339(rotated.old_until or 0)), headers=PRIVATE)

    @routes.post("/test", responses=describe_answers(TestAnswer, "not_found", "too_many_tries"))
    async def test(name: Named, user: User) -> Response:
        with tests.count(user.user_id) as at_once:
            if at_once > TESTS_AT_ONCE:
                raise Refusal(
                    "too_many_tries",
                    what_zh="同时进行的测试回调",
                    what_en="test calls at once",
                    after=TESTS_RETRY_AFTER_S,
                    retry_after_s=TESTS_RETRY_AFTER_S,
                )
            endpoint = await parts.endpoints.one(name, user.user_id)
            event = f"evt_test-{new_id()}"
            told = {"id": event, "type": TEST_EVENT, "timestamp": rfc3339(parts.now()), "data": {"callback": name}}
            answer = await parts.dispatcher.call(endpoint, event, to_json(told))
        return Answer(
            ok(
                delivered=answer.is_success,
                status=answer.status,
                error=answer.error,
                answer=answer.body,
                took_ms=answer.took_ms,
            )
        )

    return routes


def _deliveries(parts: Parts) -> APIRouter:
    routes = APIRouter(prefix="/api/callbacks/{id}")

    @routes.post(
        "/recover", status_code=202, responses=describe_answers(RecoveryAnswer, *BODY, "not_found", success=202)
    )
    async def recover(name: Named, asked: RecoveryAsked, user: User) -> Response:
        await parts.endpoints.one(name, user.user_id)
        since, until = to_ms(asked.since), parts.now() if asked.until is None else to_ms(asked.until)
        if not parts.now() - RECOVERED_MS <= since < until:
            raise Refusal(
                "wrong_type",
                field="since",
                why_zh="应早于 until，且不早于 14 天前",
                why_en="it must be before `until`, and not more than 14 days ago",
            )
        await _begin_recovery(parts.database, name, since, until)
        return Answer(ok(since=rfc3339(since), until=rfc3339(until)), 202)

    @routes.get(
        "/deliveries",
        responses=describe_answers(DeliveriesAnswer, "wrong_type", "not_found"),
        openapi_extra=_parameters(DELIVERY_PARAMETERS),
    )
    async def deliveries(name: Named, request: Request, user: User) -> Response:
        await parts.endpoints.one(name, user.user_id)
        given = request.query_params
        state = given.get("state")
        if state is not None and state not in (WAITING, DELIVERED, FAILED):
            raise _wrong("state", "应为 waiting、delivered 或 failed", "it must be waiting, delivered or failed")
        limit = _read_number(given, "limit", DEFAULT_LIMIT, 1, MOST)
        found, cursor = await parts.deliveries.page(name, state, limit, given.get("cursor") or None)
        return Answer(ok(deliveries=found, next=cursor))

    @routes.post(
        "/deliveries/{event}/resend",
        status_code=202,
        responses=describe_answers(EndpointAnswered, "not_found", success=202),
    )
    async def resend(name: Named, event: str, user: User) -> Response:
        await parts.endpoints.one(name, user.user_id)
        await parts.deliveries.begin_anew(name, event)
        parts.dispatcher.wake()
        return Answer(ok(), 202)

    return routes


def _events(parts: Parts) -> APIRouter:
    routes = APIRouter()

    @routes.get(
        "/api/events",
        responses=describe_answers(EventsAnswer, "wrong_type", "cursor_expired"),
        openapi_extra=_parameters(EVENT_PARAMETERS),
    )
    async def read(request: Request, user: User) -> Response:
        given = request.query_params
        wait_s = _read_number(given, "wait", 0, 0, LONGEST_WAIT_S)
        limit = _read_number(given, "limit", 100, 1, MOST_EVENTS)
        await parts.listeners.note_read(user.user_id, user.username, is_admin=user.is_admin)
        found = await parts.reader.read(user.user_id, given.get("after") or None, wait_s, limit)
        told = ",".join(found.bodies)
        head = b'{"errorCode":0,"errorMessage":"OK","events":['
        body = head + told.encode() + b'],"next":' + to_json(found.next) + b"}"
        return Response(body, media_type="application/json; charset=utf-8")

    return routes


PRIVATE = {"cache-control": "no-store"}


def _show(endpoint: Endpoint, waiting: int) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "methods": None if endpoint.methods is None else list(endpoint.methods),
        "description": endpoint.description,
        "enabled": endpoint.disabled_at is None,
        "state": endpoint.state,
        "why": endpoint.disabled_why,
        "failing_since": rfc3339_or_none(endpoint.failing_since),
        "reached_at": rfc3339_or_none(endpoint.reached_at),
        "last_error": endpoint.last_error,
        "waiting": waiting,
        "old_secret_until": rfc3339_or_none(endpoint.old_until),
        "created_at": rfc3339(endpoint.created_at),
    }


def _write_change(asked: EndpointChange, known: Endpoint, user: Owner, now: int) -> dict[str, Any]:
    values = write_changes(asked.events, asked.methods, all_methods=asked.all_methods is True)
    values["is_admin"] = user.is_admin
    for name in ("url", "description"):
        if (given := getattr(asked, name)) is not None:
            values[name] = given
    if asked.enabled is False and known.disabled_at is None:
        values |= {"disabled_at": now, "disabled_why": "owner"}
    if asked.enabled is True:
        values |= {"disabled_at": None, "disabled_why": None, "failing_since": None, "failures": 0}
    return values


async def _check_url(poster: Poster, url: str) -> None:
    """Refuse what can't be called, and what would be called inside. Raises Refusal wrong_type."""
    try:
        destination = read_url(url)
    except BadUrl as bad:
        raise _wrong("url", bad.zh, bad.en) from bad
    if await poster.find_objection(destination.host, destination.port):
        raise _wrong(
            "url",
            "这个地址在内部网络中，或不是 80、443 端口；确需使用，请管理员加入 IMSG_CALLBACKS__ALLOW",
            "it leads into an inner network, or to a port other than 80 and 443; an administrator may open it by "
            "IMSG_CALLBACKS__ALLOW",
        )


def _check_right(wanted: list[str], user: Owner) -> None:
    if not user.is_admin and any(one in CHANNEL_EVENTS for one in wanted):
        raise Refusal("no_right")


async def _begin_recovery(database: Database, endpoint: str, since: int, until: int) -> None:
    async with database.writing() as connection:
        first = await connection.scalar(
            select(events.c.number)
            .where(events.c.kept_at >= since)
            .order_by(events.c.kept_at, events.c.number)
            .limit(1)
        )
        position = (first if first is not None else await find_head(connection) + 1) - 1
        row = {"id": new_id(), "endpoint": endpoint, "position": position, "until": until}
        await connection.execute(insert(recoveries).values(row))


def _read_number(given: QueryParams, name: str, default: int, least: int, most: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else -1
    if not least <= number <= most:
        raise _wrong(name, f"应为 {least} 到 {most} 的整数", f"it must be a whole number from {least} to {most}")
    return number


def _wrong(field: str, zh: str, en: str) -> Refusal:
    return Refusal("wrong_type", field=field, why_zh=zh, why_en=en)


async def _unavailable(request: Request, error: Exception) -> Response:
    del error
    away = Refusal("unavailable", retry_after_s=RETRY_AFTER_S)
    return refuse_with(away, request.headers.get("accept-language", ""))


DELIVERY_PARAMETERS = {
    "state": {"type": "string", "enum": [WAITING, DELIVERED, FAILED]},
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT},
    "cursor": {
        "type": "string",
        "pattern": "^([A-P][A-Za-z0-9_-]{9}[AEIMQUYcgkosw048]=?)?$",
        "description": "`next` of the page before.",
    },
}
EVENT_PARAMETERS = {
    "after": {
        "type": "string",
        "pattern": "^([A-Za-z0-9_-]{32})?$",
        "description": "`next` of the answer before; left out: from the oldest that is kept.",
    },
    "wait": {
        "type": "integer",
        "minimum": 0,
        "maximum": LONGEST_WAIT_S,
        "default": 0,
        "description": "For how many seconds an answer may wait for an event.",
    },
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST_EVENTS, "default": 100},
}


def _parameters(schemas: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in schemas.items()]}
