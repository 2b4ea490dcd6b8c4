"""The OpenAPI document of the whole API: the gateway's own part described, its owners' parts merged in."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from imsg_gateway import shapes
from imsg_gateway.relay import Owner
from imsg_gateway.routes import Right, Route
from imsg_shared.errors import REASONS, TEXTS

Json = dict[str, Any]

REF = "#/components/schemas/"

_SENT = (
    ("method_unknown", "content_shape", "attachment_shape", "recipients_invalid", "not_following", "no_such_account"),
    ("per_hour_used_up", "per_day_used_up", "recipients_per_day_used_up", "too_many_tries"),
    ("sending_disabled", "key_reused", "in_progress", "not_accepted", "outcome_unknown", "overloaded"),
)
_SENDING = tuple(reason for reasons in _SENT for reason in reasons)
_RESENDING = ("not_found", "nothing_to_resend", *_SENT[1], *_SENT[2])
_BODY = ("not_json", "not_an_object", "missing", "wrong_type", "too_large", "body_incomplete", "overloaded")
_TOKEN = ("token_missing", "token_invalid")
_ANY = ("unavailable", "bug")

_OWN: Mapping[tuple[str, str], tuple[str, type[BaseModel] | None, type[BaseModel], tuple[str, ...]]] = {
    ("POST", "/api/send"): ("Send a message", shapes.SendAsked, shapes.SendAnswer, _SENDING),
    ("POST", "/api/resend"): ("Send again what failed", shapes.ResendAsked, shapes.SendAnswer, _RESENDING),
    ("POST", "/api/dead/{id}/resend"): (
        "Send a dead letter anew",
        shapes.DeadResendAsked,
        shapes.SendAnswer,
        _RESENDING,
    ),
    ("GET", "/api/channels"): ("How each channel is", None, shapes.ChannelsAnswer, ()),
    ("PATCH", "/api/channels/{method}"): (
        "Pause a channel or let it go on",
        shapes.ChannelAsked,
        shapes.ChannelAnswer,
        ("not_found",),
    ),
}
"""Verb and path → summary, body, answer, reasons of its own."""

_KEYED = ("/api/send", "/api/resend", "/api/dead/{id}/resend")

INFO: Json = {
    "title": "iMSG",
    "version": "1",
    "description": (
        "One REST call sends a message by e-mail, SMS or WeChat. "
        "The five documented URLs (login, register, send, modify, query) answer HTTP 200 to everything unless "
        "IMSG_HTTP_STATUS is `truthful`; the statuses here are the truthful ones. `errorCode` decides in both."
    ),
}


def described(routes: Iterable[Route]) -> Json:
    """Describe the gateway's own URLs. Raises KeyError for a route that nobody described."""
    by_pattern = {(verb, _pattern(path)): path for verb, path in _OWN}
    models = {model for _, asked, answer, _ in _OWN.values() for model in (asked, answer) if model} | {shapes.Refused}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, "validation") for model in ordered], ref_template=REF + "{model}")
    paths: Json = {}
    for route in routes:
        path = by_pattern[route.verb, route.path]
        summary, asked, answer, reasons = _OWN[route.verb, path]
        operation: Json = {"summary": summary, "responses": {"200": _answer(answer, path)}}
        if asked is not None:
            operation["requestBody"] = {
                "required": route.needs_body,
                "content": {"application/json": {"schema": {"$ref": REF + asked.__name__}}},
            }
        parameters: list[Json] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _names(path)
        ]
        if path in _KEYED:
            parameters.append(_IDEMPOTENCY_KEY)
        if parameters:
            operation["parameters"] = parameters
        paths.setdefault(path, {})[route.verb.lower()] = _completed(operation, route, reasons)
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
            paths.setdefault(path, {})[route.verb.lower()] = _completed(operation, route, ())
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": server or "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": _used(paths, schemas),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "query": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


_IN_THE_BODY: Json = {}
"""The token may also be the body's `token`, of which OpenAPI has no scheme."""

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


def _answer(model: type[BaseModel], path: str) -> Json:
    answer: Json = {
        "description": (model.__doc__ or "").strip(),
        "content": {"application/json": {"schema": {"$ref": REF + model.__name__}}},
    }
    return answer | ({"headers": _HEADERS} if path in _KEYED else {})


def _completed(operation: Json, route: Route, reasons: tuple[str, ...]) -> Json:
    """Add who may, and the refusals that the gateway itself may answer, to an operation."""
    right = route.right
    responses = {status: answer for status, answer in operation["responses"].items() if status != "422"}
    whole = [*_BODY, *_ANY]
    whole += () if right is Right.OPEN else _TOKEN
    whole += ("no_right",) if right is Right.ADMIN else ()
    whole += ("no_such_url",) if "{}" in route.path else ()
    by_status: dict[int, list[str]] = {}
    for reason in dict.fromkeys((*reasons, *whole)):
        by_status.setdefault(REASONS[reason].http, []).append(_line(reason))
    for status, lines in by_status.items():
        said = responses.get(str(status), {}).get("description", "").split("; ")
        responses[str(status)] = {
            "description": "; ".join(dict.fromkeys(filter(None, (*said, *lines)))),
            "content": {"application/json": {"schema": {"$ref": REF + shapes.Refused.__name__}}},
        }
    security: list[Json] = [] if right is Right.OPEN else [{"bearer": []}, {"query": []}, _IN_THE_BODY]
    return operation | {"responses": dict(sorted(responses.items())), "security": security}


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


def _line(reason: str) -> str:
    row = REASONS[reason]
    return f"{row.code} {TEXTS[row.code]} (`{reason}`)"


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
