"""The OpenAPI description of v1, made from v2's: the same bodies left open, answers of the document's keys alone."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imsg_channels import METHOD_NAMES
from imsg_contract import error_responses
from imsg_gateway.openapi.info import ROLES, V1
from imsg_gateway.openapi.references import REF, Json, reach, references, rename
from imsg_gateway.v1 import HEADERS, HONOURED, IGNORED, url_of


class Described(NamedTuple):
    """A URL of v1."""

    verb: str
    like: str
    """The path that describes it: v2's, or its owner's."""
    answer: str
    """The schema of a success."""


URLS: Mapping[str, Described] = {
    "/api/login": Described("post", "/api/v2/login", "V1Token"),
    "/api/register": Described("post", "/api/v2/register", "V1Answer"),
    "/api/send": Described("post", "/api/v2/messages", "V1Answer"),
    "/api/modify/{username}": Described("post", "/api/modify/{username}", "V1Answer"),
    "/api/query": Described("get", "/api/query", "V1Messages"),
}

OWNED = {url_of(url.like) for url in URLS.values()} - {None}
"""URLs that v1 alone has, and that their owners describe."""

OF_V2_ALONE = ("unknown_field", "may_not_send_codes", "no_offset", "too_far", "in_past", "no_such_group")
"""Reasons that v1 has no occasion for."""

_CODE = {"type": "integer", "description": "0: done. Any other: refused, and HTTP 200 all the same."}
_MESSAGE = {"type": "string", "description": "The documented text of the errorCode."}


def describe(paths: Json, schemas: Json) -> Json:
    """Describe the five URLs, as far as their owners describe them; adds their schemas to `schemas`."""
    schemas["V1Answer"] = _object("Done or refused.", {})
    v1_paths: Json = {}
    for path, url in URLS.items():
        operation = paths.get(url.like, {}).get(url.verb)
        if operation is None:
            continue
        reasons = [reason for reason in error_responses.reasons_of(operation["responses"]) if reason not in OF_V2_ALONE]
        if url.answer == "V1Token":
            schemas[url.answer] = _object("A token.", {"token": {"type": "string"}})
        if url.answer == "V1Messages":
            shown = schemas[_schema(operation["responses"]["200"])].get("properties", {})
            properties = {name: shown[name] for name in ("messages", "next") if name in shown}
            schemas[url.answer] = _object("A page.", properties)
        described = {
            **{key: operation[key] for key in ("summary", "parameters", "security", ROLES) if key in operation},
            "operationId": f"v1_{path.split('/')[2]}",
            "tags": [V1],
            "responses": {"200": _answers(url.answer, reasons)},
        }
        if body := operation.get("requestBody"):
            described["requestBody"] = _reopen(body, schemas, HONOURED[url_of(path) or path].fields)
        v1_paths[path] = {url.verb: described}
    return v1_paths


def _object(what: str, properties: Json) -> Json:
    properties = {"errorCode": _CODE, "errorMessage": _MESSAGE, **properties}
    return {
        "type": "object",
        "description": what,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema(answer: Json) -> str:
    name: str = answer["content"]["application/json"]["schema"]["$ref"]
    return name.removeprefix(REF)


def _answers(success: str, reasons: Sequence[str]) -> Json:
    choices: list[Json] = [{"$ref": REF + name} for name in dict.fromkeys((success, "V1Answer"))]
    return {
        "description": "HTTP 200 to everything. Refusals, by errorCode and X-IMSG-Reason:\n"
        + error_responses.list_of(reasons, METHOD_NAMES),
        "content": {"application/json": {"schema": choices[0] if len(choices) == 1 else {"anyOf": choices}}},
        "headers": {
            name: {"description": "Percent-encoded UTF-8, 1,024 bytes at most.", "schema": {"type": "string"}}
            for name in (*HEADERS.values(), IGNORED)
        },
    }


def _reopen(body: Json, schemas: Json, honoured: Sequence[str]) -> Json:
    """Copy a body and all that it refers to under names of v1, with the fields that v1 honours, and open to others."""
    tops = _list_choices(body, schemas)
    names = {name: f"V1{name}" for name in reach(references(body), schemas)}
    for name, new in names.items():
        schema: Json = rename(schemas[name], names)
        schema.pop("additionalProperties", None)
        if name in tops:
            properties = {key: value for key, value in schema["properties"].items() if key in (*honoured, "token")}
            schema = {**schema, "properties": properties}
            if "to" in properties:  # v2 takes groups in its place
                schema["required"] = ["to", *schema["required"]]
        schemas[new] = {**schema, **({"title": new} if "title" in schema else {})}
    reopened: Json = rename(body, names)
    return reopened


def _list_choices(body: Json, schemas: Json) -> set[str]:
    """Return the names of the schemas of which a body is one."""
    (name,) = references(body)
    return references(schemas[name].get("oneOf", [])) or {name}
