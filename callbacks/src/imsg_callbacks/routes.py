"""Callbacks' URLs, which the gateway relays: endpoints, their deliveries, events."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import insert, select
from starlette.responses import Response
from starlette.types import ASGIApp

from imsg_callbacks import signatures
from imsg_callbacks.asked import EndpointAsked, EndpointChange, RecoveryAsked
from imsg_callbacks.bounds import DEFAULT_LIMIT, LONGEST_WAIT_S, MOST, MOST_EVENTS
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
from imsg_callbacks.tables import DELIVERED, FAILED, WAITING, recoveries
from imsg_callbacks.tables import log as events
from imsg_callbacks.times import rfc3339, rfc3339_or_none, to_ms
from imsg_callbacks.under_way import UnderWay
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_database.database import Database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.callers import Caller, Internal
from imsg_runtime.internal_api import RETRY_AFTER_S, Call, Routes, make_api, read_number
from imsg_runtime.responses import Answer, ok
from imsg_runtime.service_client import ServiceUnavailable

TESTS_AT_ONCE = 4
"""Test calls of one user: an endpoint that hangs holds each for as long as a call may take."""

TESTS_RETRY_AFTER_S = round(TIMEOUT_S)
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


def api(parts: Parts, internal: Internal) -> ASGIApp:
    """Make the API."""
    groups = (_endpoints(parts), _one_endpoint(parts), _deliveries(parts), _events(parts))
    return make_api(internal, groups, (DatabaseUnavailable, ServiceUnavailable), _describe)


def _describe() -> Mapping[str, Any]:
    from imsg_callbacks.openapi import document  # noqa: PLC0415  models of every answer, which only a reader wants

    return document()


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose endpoints are meant."""

    user_id: str
    username: str
    is_admin: bool


def _admit(caller: Caller | None) -> Owner:
    if caller is None:
        raise Refusal("no_right")
    if caller.user_id is None:  # a gateway or an auth of before users had ids: soon it is of now
        raise Refusal("unavailable", retry_after_s=RETRY_AFTER_S)
    return Owner(caller.user_id, caller.username, caller.is_admin)


def _endpoints(parts: Parts) -> Routes[Owner]:
    routes = Routes(_admit, "/api/callbacks")

    @routes.get("")
    async def listing(call: Call[Owner]) -> Response:
        user = call.who
        found = await parts.endpoints.of_user(user.user_id)
        waiting = await parts.endpoints.count_waiting([one.id for one in found])
        return Answer(ok(callbacks=[_show(one, waiting.get(one.id, 0)) for one in found], next=None))

    @routes.take("POST", "", EndpointAsked)
    async def add(call: Call[Owner], asked: EndpointAsked) -> Response:
        user = call.who
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


def _one_endpoint(parts: Parts) -> Routes[Owner]:
    routes = Routes(_admit, "/api/callbacks/{id}")
    tests = UnderWay()

    @routes.take("PATCH", "", EndpointChange)
    async def change(call: Call[Owner], asked: EndpointChange) -> Response:
        name, user = call.name("id"), call.who
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

    @routes.delete("")
    async def remove(call: Call[Owner]) -> Response:
        name, user = call.name("id"), call.who
        await parts.endpoints.remove(name, user.user_id)
        return Answer(ok())

    @routes.post("/rotate")
    async def rotate(call: Call[Owner]) -> Response:
        name, user = call.name("id"), call.who
        secret = await parts.endpoints.rotate(await parts.endpoints.one(name, user.user_id))
        rotated = await parts.endpoints.one(name, user.user_id)
        return Answer(ok(secret=secret, old_until=rfc3339(rotated.old_until or 0)), headers=PRIVATE)

    @routes.post("/test")
    async def test(call: Call[Owner]) -> Response:
        name, user = call.name("id"), call.who
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


def _deliveries(parts: Parts) -> Routes[Owner]:
    routes = Routes(_admit, "/api/callbacks/{id}")

    @routes.take("POST", "/recover", RecoveryAsked)
    async def recover(call: Call[Owner], asked: RecoveryAsked) -> Response:
        name, user = call.name("id"), call.who
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

    @routes.get("/deliveries")
    async def deliveries(call: Call[Owner]) -> Response:
        name, user = call.name("id"), call.who
        await parts.endpoints.one(name, user.user_id)
        given = call.query
        state = given.get("state")
        if state is not None and state not in (WAITING, DELIVERED, FAILED):
            raise _wrong("state", "应为 waiting、delivered 或 failed", "it must be waiting, delivered or failed")
        limit = read_number(given, "limit", DEFAULT_LIMIT, 1, MOST)
        found, cursor = await parts.deliveries.page(name, state, limit, given.get("cursor") or None)
        return Answer(ok(deliveries=found, next=cursor))

    @routes.post("/deliveries/{event}/resend")
    async def resend(call: Call[Owner]) -> Response:
        name, event, user = call.name("id"), call.name("event"), call.who
        await parts.endpoints.one(name, user.user_id)
        await parts.deliveries.begin_anew(name, event)
        parts.dispatcher.wake()
        return Answer(ok(), 202)

    return routes


def _events(parts: Parts) -> Routes[Owner]:
    routes = Routes(_admit)

    @routes.get("/api/events")
    async def read(call: Call[Owner]) -> Response:
        user = call.who
        given = call.query
        wait_s = read_number(given, "wait", 0, 0, LONGEST_WAIT_S)
        limit = read_number(given, "limit", 100, 1, MOST_EVENTS)
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


def _wrong(field: str, zh: str, en: str) -> Refusal:
    return Refusal("wrong_type", field=field, why_zh=zh, why_en=en)
