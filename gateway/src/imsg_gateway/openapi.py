"""The OpenAPI document of the whole API: the gateway's own part described, its owners' parts merged in."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from imsg_gateway import shapes
from imsg_gateway.relay import Owner
from imsg_gateway.routes import Right, Route
from imsg_gateway.titles import CHAPTERS, TITLES
from imsg_shared import refusals

Json = dict[str, Any]

REF = "#/components/schemas/"

_FIELDS = (
    "method_unknown", "content_shape", "attachment_shape", "recipients_invalid", "not_following", "no_such_account",
)  # fmt: skip
_LIMITS = ("per_hour_used_up", "per_day_used_up", "recipients_per_day_used_up")
_ACCEPTING = ("sending_disabled", "key_reused", "in_progress", "no_provider", "not_accepted", "outcome_unknown")
_SENDING = ("missing", *_FIELDS, *_LIMITS, "too_many_tries", *_ACCEPTING)
_RESENDING = ("not_found", "nothing_to_resend", *_LIMITS, *_ACCEPTING)

_OWN: Mapping[tuple[str, str], tuple[type[BaseModel] | None, type[BaseModel], tuple[str, ...]]] = {
    ("POST", "/api/send"): (shapes.SendAsked, shapes.SendAnswer, _SENDING),
    ("POST", "/api/resend"): (shapes.ResendAsked, shapes.SendAnswer, ("missing", *_RESENDING)),
    ("POST", "/api/dead/{id}/resend"): (shapes.DeadResendAsked, shapes.SendAnswer, _RESENDING),
    ("GET", "/api/templates"): (None, shapes.TemplatesAnswer, ()),
    ("GET", "/api/channels"): (None, shapes.ChannelsAnswer, ()),
    ("PATCH", "/api/channels/{method}"): (shapes.ChannelAsked, shapes.ChannelAnswer, ("missing", "not_found")),
}
"""Verb and path → body, answer, reasons of its own."""

_KEYED = ("/api/send", "/api/resend", "/api/dead/{id}/resend")

_REQUEST = ("not_json", "not_an_object", "wrong_type", "too_large", "body_incomplete", "overloaded")
"""What every URL may refuse of a request as a whole: a body is read on GET too, and so is the query everywhere."""

INFO: Json = {
    "title": "iMSG",
    "version": "1",
    "description": (
        "One REST call sends a message by e-mail, SMS or WeChat.\n\n"
        "Every answer is a JSON object with `errorCode` (0: done) and `errorMessage`; a refusal adds `reason`, to "
        "decide by, and `detail`, to show to people (English where Accept-Language prefers it).\n\n"
        "The five documented URLs (login, register, send, modify, query) answer HTTP 200 to everything unless "
        "IMSG_HTTP_STATUS is `truthful`; the statuses here are the truthful ones. `errorCode` decides in both.\n\n"
        "A token is taken from the body's `token` (on GET too), else from the Authorization header, else from the "
        "query's `token`. A body is read as JSON whatever its Content-Type. Nothing is coerced: 5.0 is no integer. "
        "null in an optional field is as if it were absent, unknown fields are ignored, U+0000 is refused anywhere."
    ),
}

_SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token of /api/login."},
    "query": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The same, where neither a body nor a header can be given. Query strings end up in logs.",
    },
}
_IN_THE_BODY: Json = {}
"""The token may also be the body's `token`, of which OpenAPI has no scheme."""

_TOKEN: Json = {
    "anyOf": [{"type": "string"}, {"type": "null"}],
    "title": "Token",
    "description": "A token of /api/login: here, or in the Authorization header, or in the query.",
}

_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key and body within 24 h get the first answer again, uncounted.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}
_HEADERS: Json = {
    name: {"description": what, "schema": {"type": "string"}}
    for name, what in {
        "RateLimit-Policy": "The limits of this user (IETF draft).",
        "RateLimit": "What is left of them, and in how many seconds they open again.",
        "Idempotent-Replayed": "`true` where this is an earlier answer.",
    }.items()
}


def described(routes: Iterable[Route]) -> Json:
    """Describe the gateway's own URLs. Raises KeyError for a route that nobody described."""
    by_pattern = {(verb, _pattern(path)): path for verb, path in _OWN}
    models = {model for asked, answer, _ in _OWN.values() for model in (asked, answer) if model}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=REF + "{model}")
    paths: Json = {}
    for route in routes:
        path = by_pattern[route.verb, route.path]
        asked, answer, reasons = _OWN[route.verb, path]
        operation: Json = {"responses": {"200": _answer(answer, path), **refusals.described(reasons)}}
        if asked is not None:
            operation["requestBody"] = {
                "required": route.needs_body,
                "content": {"application/json": {"schema": {"$ref": REF + asked.__name__}}},
            }
        parameters: list[Json] = [
            {"name": name, "in": "path", "required": True, "schema": shapes.NAMED[path]} for name in _names(path)
        ]
        if path in _KEYED:
            parameters.append(_IDEMPOTENCY_KEY)
        if parameters:
            operation["parameters"] = parameters
        paths.setdefault(path, {})[route.verb.lower()] = _completed(operation, route)
    return {"paths": paths, "components": {"schemas": schemas["$defs"]}}


def merge(own_part: Json, owned: Mapping[Owner, Json], relayed: Sequence[Route], server: str) -> Json:
    """Merge the owners' documents into the gateway's: of theirs what is relayed, with what the relay may refuse."""
    schemas: Json = dict(own_part["components"]["schemas"])
    paths: Json = {path: dict(verbs) for path, verbs in own_part["paths"].items()}
    for owner, document in sorted(owned.items()):
        found = document.get("components", {}).get("schemas", {})
        names = {
            name: name if schemas.get(name, found[name]) == found[name] else f"{owner.title()}{name}" for name in found
        }
        moved = _renamed(document, names)
        schemas |= {names[name]: schema for name, schema in moved.get("components", {}).get("schemas", {}).items()}
        by_pattern = {_pattern(path): path for path in moved["paths"]}
        for route in relayed:
            if (path := by_pattern.get(route.path)) is None or route.verb.lower() not in moved["paths"][path]:
                continue
            operation = moved["paths"][path][route.verb.lower()]
            paths.setdefault(path, {})[route.verb.lower()] = _completed(operation, route)
            if route.right is not Right.OPEN:
                _take_token(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": server or "/"}],
        "tags": [{"name": name, "description": what} for name, what in CHAPTERS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": _used(paths, schemas), "securitySchemes": _SECURITY},
    }


def _answer(model: type[BaseModel], path: str) -> Json:
    answer: Json = {
        "description": (model.__doc__ or "").strip(),
        "content": {"application/json": {"schema": {"$ref": REF + model.__name__}}},
    }
    return answer | ({"headers": _HEADERS} if path in _KEYED else {})


def _completed(operation: Json, route: Route) -> Json:
    """Add an operation's name, who may, and the refusals that the gateway itself may answer."""
    right, title = route.right, TITLES[route.verb, route.path]
    responses = operation["responses"]
    reasons = [*refusals.reasons_of(responses), *refusals.ANY, *_REQUEST]
    reasons += () if right is Right.OPEN else refusals.TOKEN
    reasons += ("no_right",) if right is Right.ADMIN else ()
    reasons += ("no_such_url",) if "{}" in route.path else ()
    security: list[Json] = [{"bearer": []}, {"query": []}]
    if "requestBody" in operation:
        security.append(_IN_THE_BODY)
        operation = operation | {"requestBody": operation["requestBody"] | {"required": route.needs_body}}
    return operation | {
        "operationId": title.operation,
        "summary": title.summary,
        "tags": [title.chapter],
        "responses": {"200": responses["200"], **refusals.described(reasons)},
        "security": [] if right is Right.OPEN else security,
    }


def _take_token(operation: Json, schemas: Json) -> None:
    """Add the token to a relayed body: its owner never sees it."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        name = content["schema"]["$ref"].removeprefix(REF)
        schemas[name] = schemas[name] | {"properties": {"token": _TOKEN, **schemas[name].get("properties", {})}}


def _used(paths: Json, schemas: Json) -> Json:
    """Keep the schemas that something refers to, in order."""
    used: set[str] = set()
    waiting = _references(paths)
    while waiting:
        used |= waiting
        waiting = {name for known in waiting for name in _references(schemas[known])} - used
    return {name: schemas[name] for name in sorted(used)}


def _references(node: Any) -> set[str]:  # noqa: ANN401  any JSON
    if isinstance(node, dict):
        inner = {name for value in node.values() for name in _references(value)}
        reference = node.get("$ref")
        return inner | ({reference.removeprefix(REF)} if isinstance(reference, str) else set())
    return {name for item in node for name in _references(item)} if isinstance(node, list) else set()


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _pattern(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def _renamed(node: Any, names: Mapping[str, str]) -> Any:  # noqa: ANN401  any JSON
    """Point every reference to a renamed schema to its new name."""
    if isinstance(node, dict):
        return {
            key: REF + names[value.removeprefix(REF)]
            if key == "$ref" and isinstance(value, str) and value.startswith(REF)
            else _renamed(value, names)
            for key, value in node.items()
        }
    return [_renamed(item, names) for item in node] if isinstance(node, list) else node
