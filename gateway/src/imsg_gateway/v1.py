"""v1: what the five URLs of the interface document read of a request, and how they answer.

An answer has the keys that the document prints and HTTP 200. What else there is to say is in headers.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from fastapi import Request
from pydantic_core import from_json
from starlette.responses import Response

from imsg_channels import CONTACTS
from imsg_contract.errors import Refusal
from imsg_web.responses import ApiResponse, refuse_with

LOGIN = ("username", "password")
LIMITS = ("per_day", "per_hour", "available")


class Honoured(NamedTuple):
    """The fields that v1 reads of a request; it ignores the others, and lists them in a header."""

    fields: tuple[str, ...] = ()
    """Of the body."""
    parameters: tuple[str, ...] = ()
    """Of the query."""


HONOURED: Mapping[str, Honoured] = {
    "/api/login": Honoured(LOGIN),
    "/api/register": Honoured((*LOGIN, *CONTACTS, "role", *LIMITS)),
    "/api/send": Honoured(("to", "method", "content", "attachment", "account")),
    "/api/modify": Honoured(LIMITS),
    "/api/query": Honoured(
        parameters=("id", "username", "method", "status", "to", "since", "until", "limit", "cursor")
    ),
}

ALWAYS = ("errorCode", "errorMessage")

PRINTED: Mapping[str, tuple[str, ...]] = {
    "/api/login": ("token",),
    "/api/register": (),
    "/api/send": (),
    "/api/modify": (),
    "/api/query": ("messages", "next"),
}
"""URL → the keys of a success beside ALWAYS. Its users' clients throw on any other key, and on any status but 200."""

REGISTER = "/api/register"
"""The URL that answers nothing in v1, and the user in v2."""

UNREAD = "/api/query"
"""The URL whose owner prints these keys alone: a page of messages is not parsed again here."""

HEADERS: Mapping[str, bytes] = {
    "id": b"x-imsg-id",
    "count": b"x-imsg-count",
    "segments": b"x-imsg-segments",
    "expires_in": b"x-imsg-expires-in",
    "reason": b"x-imsg-reason",
    "detail": b"x-imsg-detail",
}
"""Key of v2's answer → the header that has its value in v1."""

IGNORED = "X-IMSG-Ignored"

HEADER_BYTES = 1024
"""The longest value of an X-IMSG-* header; something between the client and us may refuse a longer one."""


def url_of(path: str) -> str | None:
    """Return which of the five URLs a path is, None for another; `/api/modify` has a name behind it."""
    if path in PRINTED:
        return path
    return "/api/modify" if path.startswith("/api/modify/") else None


def print_only(response: Response, url: str) -> Response:
    """Return an answer cut down to the documented keys and 200; headers have the rest."""
    is_success = response.status_code < 300  # noqa: PLR2004  HTTP's own number
    if url != UNREAD or not is_success:
        keys = (*ALWAYS, *PRINTED[url]) if is_success else ALWAYS
        if not isinstance(response, ApiResponse):
            relayed = response
            response = ApiResponse(from_json(bytes(relayed.body)))
            own = {b"content-length", *(name for name, _ in response.raw_headers)}
            response.raw_headers += [item for item in relayed.raw_headers if item[0] not in own]
        content = response.content
        response.content = {key: content[key] for key in keys if key in content}
        if url != REGISTER or not is_success:
            insert_headers(response, write_headers(content))
    response.status_code = 200
    return response


def insert_headers(response: Response, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Insert headers where v1 has always had them: before Retry-After and Content-Type."""
    place = next(i for i, (name, _) in enumerate(response.raw_headers) if name in (b"retry-after", b"content-type"))
    response.raw_headers[place:place] = headers


def write_headers(content: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Write the X-IMSG-* headers of an answer's keys."""
    return [
        (name, percent_encode(str(content[key])).encode("ascii")) for key, name in HEADERS.items() if key in content
    ]


def write_ignored(names: Sequence[str]) -> str:
    """Write the ignored fields for a header: comma-separated, cut to HEADER_BYTES between two names."""
    kept, length = [], -1
    for name in map(percent_encode, names):
        length += len(name) + 1
        if length > HEADER_BYTES:
            break
        kept.append(name)
    return ",".join(kept)


def percent_encode(text: str) -> str:
    """Write text for a header: UTF-8, percent-encoded, cut to HEADER_BYTES between two characters."""
    if text.isascii() and text.isalnum() and len(text) <= HEADER_BYTES:
        return text  # an id, a number
    encoded = quote(text[:HEADER_BYTES], safe="", errors="replace")
    if len(encoded) <= HEADER_BYTES:
        return encoded
    kept, length = [], 0
    for character in text[:HEADER_BYTES]:
        encoded_character = quote(character, safe="", errors="replace")
        length += len(encoded_character)
        if length > HEADER_BYTES:
            break
        kept.append(encoded_character)
    return "".join(kept)


def refuse(refusal: Refusal, request: Request) -> Response:
    """Answer a refusal as the version of the path does, whose slash at the end was taken off before."""
    response = _refuse(refusal, request.headers.get("accept-language", ""), str(request.scope["path"]))
    if ignored := getattr(request.state, "ignored", None):
        response.headers[IGNORED] = write_ignored(ignored)
    return response


def refuse_path(refusal: Refusal, accept_language: str, path: str) -> Response:
    """Answer a refusal as the version of a path does, where there is no request yet."""
    return _refuse(refusal, accept_language, path[:-1] if len(path) > 1 and path.endswith("/") else path)


def _refuse(refusal: Refusal, accept_language: str, path: str) -> Response:
    answer, url = refuse_with(refusal, accept_language), url_of(path)
    return answer if url is None else print_only(answer, url)
