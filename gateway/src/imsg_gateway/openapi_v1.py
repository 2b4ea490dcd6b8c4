"""The OpenAPI description of v1, made from v2: the same bodies left open, answers of the document's keys alone."""

from collections.abc import Mapping, Sequence

from imsg_channels import METHODS_SAID
from imsg_contract import error_responses
from imsg_gateway.operation_ids import TITLES
from imsg_gateway.schema_references import REF, Json, reach, references, rename
from imsg_gateway.v1 import IGNORED
from imsg_web.responses import HEADERS

LIKE: Mapping[tuple[str, str], tuple[str, str]] = {
    ("POST", "/api/login"): ("/api/v2/login", "V1Token"),
    ("POST", "/api/register"): ("/api/v2/register", "V1Answer"),
    ("POST", "/api/send"): ("/api/v2/messages", "V1Answer"),
    ("POST", "/api/modify/{username}"): ("/api/v2/modify/{username}", "V1Answer"),
    ("GET", "/api/query"): ("/api/query", "V1Messages"),
}
"""Verb and path → the path whose description it goes by, and the answer of a success."""

NOT_HONOURED = ("reference", "category", "expires_in", "sender", "reply_to")
"""Fields of v2's send that v1 ignores."""

OF_V2_ALONE = ("unknown_field", "may_not_send_codes")
"""Reasons that v1 has no occasion for."""

_CODE = {"type": "integer", "description": "0: done. Any other: refused, and HTTP 200 all the same."}
_MESSAGE = {"type": "string", "description": "The documented text of the errorCode."}


def describe(paths: Json, schemas: Json) -> Json:
    """Describe the five URLs; adds their schemas to `schemas`."""
    schemas["V1Answer"] = _object("Done or refused.", {})
    found: Json = {}
    for (verb, path), (like, answer) in LIKE.items():
        operation = paths.get(like, {}).get(verb.lower())
        if operation is None:
            continue  # its owner does not describe it
        reasons = [one for one in error_responses.reasons_of(operation["responses"]) if one not in OF_V2_ALONE]
        if answer == "V1Token":
            schemas[answer] = _object("A token.", {"token": {"type": "string"}})
        if answer == "V1Messages":
            shown = schemas[_schema(operation["responses"]["200"])].get("properties", {})
            schemas[answer] = _object("A page.", {name: shown[name] for name in ("messages", "next") if name in shown})
        title = TITLES[verb, path.replace("{username}", "{}")]
        described = {
            **{key: operation[key] for key in ("parameters", "security") if key in operation},
            "operationId": title.operation,
            "summary": title.summary,
            "tags": [title.chapter],
            "responses": {"200": _answers(answer, reasons)},
        }
        if body := operation.get("requestBody"):
            described["requestBody"] = _reopen(body, schemas)
        found[path] = {verb.lower(): described}
    return found


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
        + error_responses.list_of(reasons, METHODS_SAID),
        "content": {"application/json": {"schema": choices[0] if len(choices) == 1 else {"anyOf": choices}}},
        "headers": {
            name: {"description": "Percent-encoded UTF-8, 1,024 bytes at most.", "schema": {"type": "string"}}
            for name in (*HEADERS.values(), IGNORED)
        },
    }


def _reopen(body: Json, schemas: Json) -> Json:
    """Copy a body and all that it refers to under names of v1, without what v1 does not honour."""
    names = {name: f"V1{name}" for name in reach(references(body), schemas)}
    for name, new in names.items():
        schema: Json = rename(schemas[name], names)
        if "properties" in schema:
            honoured = {key: value for key, value in schema["properties"].items() if key not in NOT_HONOURED}
            schema = {**schema, "properties": honoured}
        schemas[new] = {**schema, **({"title": new} if "title" in schema else {})}
    reopened: Json = rename(body, names)
    return reopened
