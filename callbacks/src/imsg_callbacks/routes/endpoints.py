"""The routes of a user's endpoints."""

import json
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query
from pydantic_core import to_json

from imsg_callbacks import signatures
from imsg_callbacks.audit import describe
from imsg_callbacks.endpoint_client import TIMEOUT_S, EndpointClient
from imsg_callbacks.matching import TEST_EVENT, kinds_of
from imsg_callbacks.records import Endpoint
from imsg_callbacks.routes.dependencies import CallbackServices, EndpointOwner, Owner
from imsg_callbacks.schemas import (
    EndpointAnswer,
    EndpointPatch,
    EndpointsAnswer,
    EndpointShape,
    EndpointsQuery,
    NewAnswer,
    NewEndpoint,
    SecretAnswer,
    TestAnswer,
)
from imsg_callbacks.times import rfc3339, rfc3339_or_none
from imsg_callbacks.urls import BadUrl, read_url
from imsg_contract.error_responses import BODY
from imsg_contract.errors import Refusal
from imsg_contract.event_types import ADMINISTRATOR_EVENTS
from imsg_contract.ids import new_id
from imsg_contract.roles import refuse_role
from imsg_web.authorization import InternalRoute, User
from imsg_web.responses import refuse_value
from imsg_web.schemas import Success, describe_refusals

MAX_TESTS = 4
"""Concurrent test calls of one user; each may last as long as the timeout of a call."""

TESTS_RETRY_AFTER_S = round(TIMEOUT_S)

router = APIRouter(prefix="/api/callbacks", route_class=InternalRoute)


@router.get("", responses=describe_refusals("no_right"))
async def list_callbacks(
    owner: EndpointOwner, query: Annotated[EndpointsQuery, Query()], services: CallbackServices
) -> EndpointsAnswer:
    """List the user's endpoints, or as an administrator another user's."""
    if query.username in (None, owner.username):
        endpoints = await services.endpoints.list_of_user(owner.user_id)
    elif owner.is_admin:
        endpoints = await services.endpoints.list_by_name(query.username)
    else:
        raise refuse_role()
    waiting = await services.endpoints.count_waiting([endpoint.id for endpoint in endpoints])
    shown = [EndpointShape(**_show(endpoint, waiting.get(endpoint.id, 0))) for endpoint in endpoints]
    return EndpointsAnswer(callbacks=shown, next=None)


@router.post("", responses=describe_refusals(*BODY, "too_many_callbacks"))
async def add_callback(user: User, owner: EndpointOwner, body: NewEndpoint, services: CallbackServices) -> NewAnswer:
    """Add an endpoint."""
    await _check_url(services.client, body.url)
    _require_admin_for_channels(body.events, owner)
    await services.listeners.subscribe(owner.user_id, owner.username, kinds_of(body.events))
    name, secret = new_id(), signatures.make_secret()
    endpoint = Endpoint(
        id=name,
        user_id=owner.user_id,
        username=owner.username,
        is_admin=owner.is_admin,
        url=body.url,
        events=tuple(body.events),
        methods=None if body.methods is None else tuple(body.methods),
        description=body.description or "",
        secret=services.endpoints.seal(secret, name),
        old_secret=None,
        old_until=None,
        created_at=services.now(),
    )
    await services.audit.write(user, "callback_added", name, after=describe(endpoint))
    await services.endpoints.add(endpoint)
    return NewAnswer(id=name, secret=secret)


@router.get("/{id}", responses=describe_refusals("not_found"))
async def show_callback(owner: EndpointOwner, id: str, services: CallbackServices) -> EndpointAnswer:  # noqa: A002  its name in the path
    """Show an endpoint; administrators see all users'."""
    endpoint = await services.endpoints.find(id, owner.whose)
    waiting = await services.endpoints.count_waiting([id])
    return EndpointAnswer(**_show(endpoint, waiting.get(id, 0)))


@router.patch("/{id}", responses=describe_refusals(*BODY, "not_found"))
async def change_callback(
    user: User,
    owner: EndpointOwner,
    id: str,  # noqa: A002  its name in the path
    body: EndpointPatch,
    services: CallbackServices,
) -> EndpointAnswer:
    """Change an endpoint."""
    known = await services.endpoints.find(id, owner.user_id)
    if body.url is not None:
        await _check_url(services.client, body.url)
    if body.events is not None:
        _require_admin_for_channels(body.events, owner)
        await services.listeners.subscribe(owner.user_id, owner.username, kinds_of(body.events))
    values = _write_change(body, known, owner, services.now())
    wanted = EndpointPatch.model_dump(body, exclude_none=True, include={"events", "methods", "enabled"})
    after = describe(known) | wanted | ({} if body.url is None else {"host": urlsplit(body.url).hostname})
    await services.audit.write(user, "callback_changed", id, describe(known), after)
    changed = await services.endpoints.change(id, owner.user_id, values)
    services.dispatcher.wake()
    waiting = await services.endpoints.count_waiting([id])
    return EndpointAnswer(**_show(changed, waiting.get(id, 0)))


@router.delete("/{id}", responses=describe_refusals("not_found"))
async def remove_callback(
    user: User,
    owner: EndpointOwner,
    id: str,  # noqa: A002  its name in the path
    services: CallbackServices,
) -> Success:
    """Remove an endpoint; administrators may remove any."""
    known = await services.endpoints.find(id, owner.whose)
    await services.audit.write(user, "callback_removed", id, describe(known))
    await services.endpoints.remove(id, owner.whose)
    return Success()


@router.post("/{id}/rotate", responses=describe_refusals("not_found"))
async def rotate_secret(
    user: User,
    owner: EndpointOwner,
    id: str,  # noqa: A002  its name in the path
    services: CallbackServices,
) -> SecretAnswer:
    """Replace the secret of an endpoint."""
    known = await services.endpoints.find(id, owner.user_id)
    await services.audit.write(user, "callback_secret_rotated", id)
    secret = await services.endpoints.rotate(known)
    rotated = await services.endpoints.find(id, owner.user_id)
    return SecretAnswer(secret=secret, old_until=rfc3339(rotated.old_until or 0))


@router.post("/{id}/test", responses=describe_refusals("not_found", "too_many_tries"))
async def test_callback(
    user: User,
    owner: EndpointOwner,
    id: str,  # noqa: A002  its name in the path
    services: CallbackServices,
) -> TestAnswer:
    """Call an endpoint with a test event."""
    with services.tests.count(owner.user_id) as at_once:
        if at_once > MAX_TESTS:
            raise Refusal(
                "too_many_tries",
                what_zh="同时进行的测试回调",
                what_en="test calls at once",
                after=TESTS_RETRY_AFTER_S,
                retry_after_s=TESTS_RETRY_AFTER_S,
            )
        endpoint = await services.endpoints.find(id, owner.user_id)
        await services.audit.write(user, "callback_tested", id)
        event = f"evt_test-{new_id()}"
        body = {"id": event, "type": TEST_EVENT, "timestamp": rfc3339(services.now()), "data": {"callback": id}}
        reply = await services.dispatcher.call(endpoint, event, to_json(body))
    return TestAnswer(
        delivered=reply.is_success,
        status=reply.status,
        error=reply.error,
        answer=reply.body,
        took_ms=reply.took_ms,
    )


def _show(endpoint: Endpoint, waiting: int) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "username": endpoint.username,
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


def _write_change(body: EndpointPatch, known: Endpoint, owner: Owner, now: int) -> dict[str, Any]:
    values: dict[str, Any] = {"is_admin": owner.is_admin}
    if body.url is not None:
        values["url"] = body.url
    if body.events is not None:
        values["events"] = json.dumps(body.events)
    if "methods" in body.model_fields_set:
        values["methods"] = None if body.methods is None else json.dumps(body.methods)
    if "description" in body.model_fields_set:
        values["description"] = body.description or ""
    if body.enabled is False and known.disabled_at is None:
        values |= {"disabled_at": now, "disabled_why": "owner"}
    if body.enabled is True:
        values |= {"disabled_at": None, "disabled_why": None, "failing_since": None, "failures": 0}
    return values


async def _check_url(client: EndpointClient, url: str) -> None:
    """Check that callbacks may call a URL. Raises Refusal wrong_type."""
    try:
        destination = read_url(url)
    except BadUrl as bad:
        raise refuse_value("url", bad.zh, bad.en) from bad
    if await client.find_objection(destination.host, destination.port):
        raise refuse_value(
            "url",
            "这个地址在内部网络中，或不是 80、443 端口；确需使用，请管理员加入 IMSG_CALLBACKS__ALLOW",
            "it leads into an internal network, or to a port other than 80 and 443; an administrator may allow it by "
            "IMSG_CALLBACKS__ALLOW",
        )


def _require_admin_for_channels(events: list[str], owner: Owner) -> None:
    if not owner.is_admin and any(event in ADMINISTRATOR_EVENTS for event in events):
        raise refuse_role()
