"""The OpenAPI document of the whole API: the gateway's own part described, its owners' parts merged in."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from imsg_channels import METHODS_SAID
from imsg_contract import error_responses
from imsg_gateway import channel_schemas, follower_schemas, openapi_v1, schemas
from imsg_gateway.operation_ids import CHAPTERS, TITLES
from imsg_gateway.relay import Owner, Relayed
from imsg_gateway.routes import Right, Route
from imsg_gateway.schema_references import REF, Json, reach, references, rename
from imsg_gateway.v1 import url_of

_FIELDS = (
    "method_unknown", "content_shape", "attachment_shape", "recipients_invalid", "not_following", "no_such_account",
)  # fmt: skip
_LIMITS = ("per_hour_used_up", "per_day_used_up", "recipients_per_day_used_up")
_ACCEPTING = (
    "sending_disabled",
    "key_reused",
    "in_progress",
    "no_provider",
    "not_accepted",
    "broker_blocked",
    "outcome_unknown",
)
_SENDING = ("missing", *_FIELDS, *_LIMITS, "too_many_tries", *_ACCEPTING)
_RESENDING = ("not_found", "nothing_to_resend", "already_resent", "content_erased", *_LIMITS, *_ACCEPTING)

_OWN: Mapping[tuple[str, str], tuple[type[BaseModel] | None, type[BaseModel], tuple[str, ...]]] = {
    ("POST", "/api/v2/messages"): (schemas.SendAsked, schemas.SendAnswer, (*_SENDING, "may_not_send_codes")),
    ("POST", "/api/v2/messages/check"): (
        schemas.SendAsked,
        schemas.CheckAnswer,
        ("missing", *_FIELDS, "too_many_tries", "may_not_send_codes", "no_provider"),
    ),
    ("POST", "/api/v2/resend"): (schemas.ResendAsked, schemas.SendAnswer, ("missing", *_RESENDING)),
    ("POST", "/api/v2/dead/{id}/resend"): (schemas.DeadResendAsked, schemas.SendAnswer, _RESENDING),
    ("GET", "/api/v2/templates"): (None, channel_schemas.TemplatesAnswer, ()),
    ("GET", "/api/v2/channels"): (None, channel_schemas.ChannelsAnswer, ()),
    ("POST", "/api/v2/channels/{method}/providers/{name}/test"): (
        channel_schemas.TestAsked,
        schemas.SendAnswer,
        (*_SENDING, "not_found"),
    ),
    ("PATCH", "/api/v2/channels/{method}"): (
        channel_schemas.ChannelAsked,
        channel_schemas.ChannelAnswer,
        ("missing", "not_found"),
    ),
    ("GET", "/api/v2/followers"): (None, follower_schemas.FollowersAnswer, ("no_such_account", "no_such_user")),
    ("POST", "/api/v2/followers/bind"): (
        follower_schemas.BindingAsked,
        follower_schemas.NewBindingAnswer,
        ("missing", "no_such_account", "no_such_user", "provider_refused"),
    ),
    ("GET", "/api/v2/followers/bind/{id}"): (None, follower_schemas.BindingAnswer, ("not_found",)),
    ("POST", "/api/v2/followers/bind/{id}/confirm"): (
        follower_schemas.ConfirmationAsked,
        follower_schemas.BindingAnswer,
        ("not_found", "not_scanned", "code_expired", "no_such_user", "contact_taken"),
    ),
    ("POST", "/api/v2/followers/{tag}/renew"): (
        follower_schemas.RenewalAsked,
        follower_schemas.FollowerAnswer,
        ("not_found",),
    ),
    ("DELETE", "/api/v2/followers/{tag}"): (None, follower_schemas.RevocationAnswer, ("not_found",)),
}
"""Verb and path → body, answer, reasons of its own."""

_KEYED = ("/api/v2/messages", "/api/v2/resend", "/api/v2/dead/{id}/resend")

_ACCEPTED = ("/api/v2/messages", "/api/v2/channels/{method}/providers/{name}/test")
"""Paths whose success is 202: what is asked has begun."""

_REQUEST = (
    "not_json",
    "not_an_object",
    "unknown_field",
    "wrong_type",
    "too_large",
    "too_many_parts",
    "body_incomplete",
    "overloaded",
)
"""What every URL may refuse of a request as a whole: a body is read on GET too, and so is the query everywhere."""

INFO: Json = {
    "title": "iMSG",
    "version": "1",
    "description": (
        "One REST call sends a message by e-mail, SMS or WeChat.\n\n"
        "Every answer is a JSON object with `errorCode` (0: done) and `errorMessage`; a refusal adds `reason`, to "
        "decide by, and `detail`, to show to people (English where Accept-Language prefers it).\n\n"
        "The path decides. `/api/{login,register,send,modify,query}` is the interface document (v1): exactly its keys "
        "and HTTP 200 to everything, fields that it does not list are ignored, and what is more to say stands in "
        "X-IMSG-* headers. All else is `/api/v2/…`: all keys in the body, true statuses, unknown fields refused. "
        "What of it stood under `/api/…` before is answered there too, until 1.0.\n\n"
        "A token is taken from the body's `token` (on GET too), else from the Authorization header, else from the "
        "query's `token`. A body is read as JSON whatever its Content-Type. Nothing is coerced: 5.0 is no integer. "
        "null in an optional field is as if it were absent, U+0000 is refused anywhere."
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
        "X-IMSG-Id": "`id`, as in v2's body.",
        "X-IMSG-Count": "`count`, likewise.",
        "X-IMSG-Segments": "`segments`, likewise.",
    }.items()
}


def describe(routes: Iterable[Route]) -> Json:
    """Describe the gateway's own URLs. Raises KeyError for a route that nobody described."""
    by_pattern = {(verb, _pattern(path)): path for verb, path in _OWN}
    models = {model for asked, answer, _ in _OWN.values() for model in (asked, answer) if model}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, defined = models_json_schema([(model, "validation") for model in ordered], ref_template=REF + "{model}")
    paths: Json = {}
    for route in routes:
        if url_of(route.path):
            continue  # of v2's own description
        path = by_pattern[route.verb, route.path]
        asked, answer, reasons = _OWN[route.verb, path]
        operation: Json = {"responses": {_success(path): _answer(answer, path), **error_responses.describe(reasons)}}
        if asked is not None:
            operation["requestBody"] = {
                "required": route.needs_body,
                "content": {"application/json": {"schema": {"$ref": REF + asked.__name__}}},
            }
        parameters: list[Json] = [
            {"name": name, "in": "path", "required": True, "schema": _schema(path, name)} for name in _names(path)
        ]
        if path in _KEYED:
            parameters.append(_IDEMPOTENCY_KEY)
        if route.verb == "GET":
            parameters += [
                {"name": name, "in": "query", "required": False, "schema": schema}
                for name, schema in schemas.QUERIES.get(path, {}).items()
            ]
        if parameters:
            operation["parameters"] = parameters
        paths.setdefault(path, {})[route.verb.lower()] = _complete(operation, route)
    return {"paths": paths, "components": {"schemas": defined["$defs"]}}


def merge(own_part: Json, owned: Mapping[Owner, Json], relayed: Sequence[Relayed], server: str) -> Json:
    """Merge the owners' documents into the gateway's: of theirs what is relayed, with what the relay may refuse."""
    schemas: Json = dict(own_part["components"]["schemas"])
    paths: Json = {path: dict(verbs) for path, verbs in own_part["paths"].items()}
    for owner, document in sorted(owned.items()):
        found = document.get("components", {}).get("schemas", {})
        names = {
            name: name if schemas.get(name, found[name]) == found[name] else f"{owner.title()}{name}" for name in found
        }
        moved = rename(document, names)
        schemas |= {names[name]: schema for name, schema in moved.get("components", {}).get("schemas", {}).items()}
        by_pattern = {_pattern(path): path for path in moved["paths"]}
        for row in relayed:
            theirs = by_pattern.get(row.at)
            if row.owner != owner or theirs is None or row.verb.lower() not in moved["paths"][theirs]:
                continue
            path = row.path.replace("{}", "{%s}") % tuple(_names(theirs))
            operation = _complete(moved["paths"][theirs][row.verb.lower()], row)
            if row.right is not Right.OPEN:
                _take_token(operation, schemas)
            paths.setdefault(path, {})[row.verb.lower()] = operation
    documented = openapi_v1.describe(paths, schemas)
    _close(paths, schemas)
    paths = {path: verbs for path, verbs in paths.items() if not url_of(path)} | documented
    return {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": server or "/"}],
        "tags": [{"name": name, "description": what} for name, what in CHAPTERS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": _keep_used(paths, schemas), "securitySchemes": _SECURITY},
    }


def _answer(model: type[BaseModel], path: str) -> Json:
    answer: Json = {
        "description": (model.__doc__ or "").strip(),
        "content": {"application/json": {"schema": {"$ref": REF + model.__name__}}},
    }
    return answer | ({"headers": _HEADERS} if path in _KEYED else {})


def _success(path: str) -> str:
    return "202" if path in _ACCEPTED else "200"


def _complete(operation: Json, route: Route | Relayed) -> Json:
    """Add an operation's name, who may, and the refusals that the gateway itself may answer."""
    right, title = route.right, TITLES[route.verb, route.path]
    responses = operation["responses"]
    reasons = [*error_responses.reasons_of(responses), *error_responses.ANY, *_REQUEST]
    reasons += () if right is Right.OPEN else error_responses.TOKEN
    reasons += ("no_right",) if right is Right.ADMIN else ()
    reasons += ("no_such_url",) if "{}" in route.path else ()
    security: list[Json] = [{"bearer": []}, {"query": []}]
    if "requestBody" in operation:
        security.append(_IN_THE_BODY)
        operation = operation | {"requestBody": operation["requestBody"] | {"required": route.needs_body}}
    described = {key: value for key, value in operation.items() if key != "description"}  # the title says it
    return described | {
        "operationId": title.operation,
        "summary": title.summary,
        "tags": [title.chapter],
        "responses": {
            **{status: answer for status, answer in responses.items() if status.startswith("2")},
            **error_responses.describe(reasons, METHODS_SAID),
        },
        "security": [] if right is Right.OPEN else security,
    }


def _take_token(operation: Json, schemas: Json) -> None:
    """Add the token to a relayed body: its owner never sees it."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        name = content["schema"]["$ref"].removeprefix(REF)
        schemas[name] = schemas[name] | {"properties": {"token": _TOKEN, **schemas[name].get("properties", {})}}


def _close(paths: Json, schemas: Json) -> None:
    """Say of every body of v2 that unknown fields are refused."""
    asked = {
        name
        for path, verbs in paths.items()
        if not url_of(path)
        for operation in verbs.values()
        for name in references(operation.get("requestBody", {}))
    }
    for name in reach(asked, schemas):
        if "properties" in schemas[name]:
            schemas[name] = {**schemas[name], "additionalProperties": False}


def _keep_used(paths: Json, schemas: Json) -> Json:
    """Keep the schemas that something refers to, in order."""
    return {name: schemas[name] for name in sorted(reach(references(paths), schemas))}


def _schema(path: str, name: str) -> Mapping[str, Any]:
    several = schemas.NAMED_EACH.get(path)
    return schemas.NAMED[path] if several is None else several[name]


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _pattern(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)
