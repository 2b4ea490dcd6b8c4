"""The OpenAPI document of the whole API: the gateway's own part and its owners', merged."""

import re
from collections.abc import Mapping

from imsg_channels import METHOD_NAMES
from imsg_contract import error_responses, roles
from imsg_gateway.authorization import ANY_SCOPE, Allow
from imsg_gateway.openapi import v1
from imsg_gateway.openapi.info import (
    CHAPTER_OF,
    CHAPTERS,
    DESCRIPTION,
    OPERATION,
    ROLES,
    SECURITY,
    TITLE,
    TOKEN,
    VERSION,
)
from imsg_gateway.openapi.references import REF, Json, reach, references, rename
from imsg_gateway.relay import Owner
from imsg_gateway.v1 import url_of

PUBLIC, OWN = "/api/v2/", "/api/"
"""How a path begins: for users, and at its owner."""

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


def merge(own_part: Json, owned: Mapping[Owner, Json], server: str, rights: Mapping[tuple[str, str], Allow]) -> Json:
    """Merge the documents of the owners into the gateway's, each path with what the gateway may refuse too.

    `rights` says by path and verb who may call it.
    """
    schemas: Json = dict(own_part["components"]["schemas"])
    paths: Json = {path: _shorten_ids(path, verbs) for path, verbs in own_part["paths"].items()}
    for owner, document in sorted(owned.items()):
        theirs = document.get("components", {}).get("schemas", {})
        names = {
            name: name if schemas.get(name, theirs[name]) == theirs[name] else f"{owner.title()}{name}"
            for name in theirs
        }
        renamed = rename(document, names)
        schemas |= {names[name]: schema for name, schema in renamed.get("components", {}).get("schemas", {}).items()}
        for path, verbs in renamed["paths"].items():
            if path.startswith(OWN):
                public = path if url_of(path) in v1.OWNED else path.replace(OWN, PUBLIC, 1)
                paths.setdefault(public, {}).update(_shorten_ids(path, verbs))
    paths = {
        path: {verb: _complete(path, operation, schemas, rights.get((path, verb))) for verb, operation in verbs.items()}
        for path, verbs in paths.items()
    }
    documented = v1.describe(paths, schemas)
    paths = {path: verbs for path, verbs in paths.items() if not url_of(path)} | documented
    used = reach(references(paths), schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": DESCRIPTION},
        "servers": [{"url": server or "/"}],
        "tags": [{"name": name, "description": what} for name, what in CHAPTERS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": {name: schemas[name] for name in sorted(used)}, "securitySchemes": SECURITY},
    }


def _shorten_ids(path: str, verbs: Json) -> Json:
    """Return the operations with ids that are their functions' names; FastAPI adds the path and the verb."""
    return {
        verb: {
            **operation,
            "operationId": operation["operationId"].removesuffix(f"{re.sub(r'[^0-9A-Za-z]', '_', path)}_{verb}"),
        }
        for verb, operation in verbs.items()
    }


def _complete(path: str, operation: Json, schemas: Json, right: Allow | None) -> Json:
    """Add to an operation its chapter, who may call it, and the refusals that the gateway itself may answer."""
    responses = operation["responses"]
    reasons = [*error_responses.reasons_of(responses), *error_responses.ANY, *_REQUEST]
    if "{" in path:
        reasons.append("no_such_url")
    security: list[Json] = []
    if "token_missing" in reasons:
        security = [{"bearer": []}, {"query": []}]
        scope = None if right is None else right.scope
        if scope is None:
            reasons.append("not_by_key")
        else:
            security.append({"key": [] if scope == ANY_SCOPE else [scope]})
            reasons += ["network_not_allowed"] if scope == ANY_SCOPE else ["network_not_allowed", "no_scope"]
        if "requestBody" in operation:
            security.append({})
    found = {key: value for key, value in operation.items() if key != "description"}
    if body := operation.get("requestBody"):
        (name,) = references(body)
        found["requestBody"] = {
            "content": {"application/json": {"schema": {"$ref": REF + name}}},
            "required": _complete_body(name, schemas, takes_token=bool(security)),
        }
    if right is not None:
        found[ROLES] = roles.sort(right.roles)
        reasons += ["no_right"] if right.roles != roles.EVERYBODY else []
    return found | {
        "summary": operation["description"].split("\n")[0].removesuffix("."),
        "tags": [CHAPTER_OF.get(path.removeprefix(PUBLIC).split("/")[0], OPERATION)],
        "responses": {
            **{status: answer for status, answer in responses.items() if status.startswith("2")},
            **error_responses.describe(reasons, METHOD_NAMES),
        },
        "security": security,
    }


def _complete_body(name: str, schemas: Json, *, takes_token: bool) -> bool:
    """Add the token to a body, which its model does not have; return whether any field of it is required."""
    is_required = False
    for choice in references(schemas[name].get("oneOf", [])) or {name}:
        schema = schemas[choice]
        is_required |= bool(schema.get("required") or schema.get("anyOf"))
        if takes_token:
            schemas[choice] = schema | {"properties": {"token": TOKEN, **schema.get("properties", {})}}
    return is_required
