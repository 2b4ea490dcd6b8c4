"""A client's request as the gateway reads it: once, as JSON, with its token apart from its fields."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, urlencode

from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.requests import Request

from imsg_contract.errors import Refusal
from imsg_gateway import json_bounds, json_errors
from imsg_gateway.authentication import Authenticator
from imsg_gateway.json_bounds import PIECE_BYTES
from imsg_web import bodies
from imsg_web.bodies import MAX_BODY_BYTES, OFF_LOOP_BYTES
from imsg_web.responses import refuse_value

OPEN_BODY_BYTES = 64 * 1024
"""The longest body of a request that needs no token: a log-in is two short texts."""

MAX_QUERY_FIELDS = 100
LARGE_BYTES = 1024 * 1024

Query = Sequence[tuple[str, str]]
"""The parameters of a query in order."""

_BOM = b"\xef\xbb\xbf"
_UNQUOTED = "%&=+;/?:@!$'()*,~"
"""What `quote` leaves alone, so that only raw UTF-8 (some clients never encode it) is encoded for `parse_qsl`."""

_ESCAPED_NUL = b"\\u0000"


class Body(NamedTuple):
    """A body that was parsed."""

    fields: dict[str, Any]
    size: int
    """Bytes."""
    may_have_nul: bool
    """Whether the fields may hold U+0000: a cheap look at the bytes saves most requests a search."""


class ClientRequest(Request):
    """A request that was read: the fields of its body and its query are without the token."""

    def __init__(self, request: Request, body: Body, query: Query, token: object) -> None:
        """`token` is the value as it was sent, whatever its type; None without one."""
        super().__init__(request.scope, request.receive)
        self.fields: Mapping[str, Any] = body.fields
        self.size = body.size
        self.may_have_nul = body.may_have_nul
        self.query = query
        self.token = token

    def prepare_scope(self) -> None:
        """Set the scope's content type to JSON, whatever the client's, and its query, for FastAPI to parse."""
        headers = [item for item in self.scope["headers"] if item[0] != b"content-type"]
        self.scope = {
            **self.scope,
            "headers": [*headers, (b"content-type", b"application/json")],
            "query_string": urlencode(self.query).encode("ascii"),
        }

    async def body(self) -> bytes:
        """Return something that is not empty: FastAPI then asks for `json`."""
        return b"{}"

    async def json(self) -> Any:  # noqa: ANN401  any JSON
        """Return the fields of the body."""
        return self.fields

    @property
    def path(self) -> str:
        """Return the path without a slash at its end."""
        path: str = self.scope["path"]
        return path

    @property
    def address(self) -> str:
        """Return the client's address, also behind trusted proxies."""
        address: str = self.app.state.services.clients.address(self.scope)
        return address

    @property
    def language(self) -> str:
        """Return the Accept-Language header, empty without one."""
        return self.headers.get("accept-language", "")

    def list_others(self, fields: Collection[str], parameters: Collection[str]) -> list[str]:
        """Return the names of all fields and parameters but these, each once."""
        others = [name for name in self.fields if name not in fields]
        others += [name for name, _ in self.query if name not in parameters]
        return list(dict.fromkeys(others))

    def keep_only(self, fields: Collection[str], parameters: Collection[str]) -> None:
        """Drop all fields and parameters but these."""
        self.fields = {name: value for name, value in self.fields.items() if name in fields}
        self.query = [(name, value) for name, value in self.query if name in parameters]

    def refuse_nul(self) -> None:
        """Raise Refusal wrong_type where a field of the body holds U+0000."""
        if not self.may_have_nul:
            return
        for name, value in self.fields.items():
            if has_nul(name) or has_nul(value):
                raise refuse_value(name.replace("\0", ""), "不能含 U+0000", "it must not hold U+0000")


async def read_request(
    request: Request, authenticator: Authenticator, *, is_open: bool, needs_body: bool
) -> ClientRequest:
    """Read a request, whose body is bounded before it is parsed.

    `is_open` says that the route needs no token, `needs_body` that an empty body is refused.
    Raises Refusal too_large, body_incomplete, too_many_parts, not_json, not_an_object, wrong_type (the query), and
    token_missing or token_invalid for a body that only a user may send.
    """
    raw = await bodies.read(request.scope, request.receive, OPEN_BODY_BYTES if is_open else MAX_BODY_BYTES)
    if json_bounds.may_exceed(raw, json_bounds.STRANGERS):
        await _check_bounds(request, raw, authenticator, is_open=is_open)
    if len(raw) > OFF_LOOP_BYTES:
        body = await asyncio.to_thread(parse_body, raw, needs_body=needs_body)
    else:
        body = parse_body(raw, needs_body=needs_body)
    query = read_query(request.scope["query_string"])
    token = body.fields.pop("token", None)
    if token is None:
        token = find_token(request.headers, query)
    return ClientRequest(request, body, [pair for pair in query if pair[0] != "token"], token)


async def _check_bounds(request: Request, raw: bytes, authenticator: Authenticator, *, is_open: bool) -> None:
    """Bound the number of values in a body by who sends it.

    Raises Refusal too_many_parts, token_missing, token_invalid; ServiceUnavailable, RedisUnavailable.
    """
    if is_open:
        json_bounds.check(raw, json_bounds.STRANGERS)
        return
    if len(raw) <= OPEN_BODY_BYTES:  # parsed in a millisecond or two, and then the error can name what is wrong
        return
    shown = find_token(request.headers, read_query(request.scope["query_string"]))
    refused = Refusal("token_missing")
    for token in (*([] if shown is None else [shown]), *await asyncio.to_thread(json_bounds.find_tokens, raw)):
        try:
            await authenticator.read(token, request.app.state.services.clients.address(request.scope)).owner()
        except Refusal as refusal:
            refused = refusal
            continue
        if len(raw) > OFF_LOOP_BYTES:
            await asyncio.to_thread(json_bounds.check, raw, json_bounds.USERS)
        else:
            json_bounds.check(raw, json_bounds.USERS)
        return
    raise refused


def find_token(headers: Headers, query: Query) -> str | None:
    """Return the token of the Authorization header, else that of the query."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    values = [value for name, value in query if name == "token"]
    return values[-1].replace(" ", "+") if values else None


def parse_body(raw: bytes, *, needs_body: bool) -> Body:
    """Parse a body. Raises Refusal not_json, not_an_object."""
    fields = _parse_object(raw) if raw or needs_body else {}
    return Body(fields, len(raw), _may_have_nul(raw))


def _parse_object(raw: bytes) -> dict[str, Any]:
    text = raw.removeprefix(_BOM)
    try:
        # Strict where Python's own reader is not: no NaN, no lone surrogates, bounded depth and digits.
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise json_errors.explain(text, error) from error
    if not isinstance(value, dict):
        raise Refusal("not_an_object")
    return value


def _may_have_nul(raw: bytes) -> bool:
    if len(raw) <= LARGE_BYTES:
        return _ESCAPED_NUL in raw
    for start in range(0, len(raw), PIECE_BYTES):
        # An escape may begin in one piece and end in the next: the search goes a little beyond the piece.
        end = start + PIECE_BYTES
        if raw.find(b"\\", start, end) >= 0 and raw.find(_ESCAPED_NUL, start, end + len(_ESCAPED_NUL) - 1) >= 0:
            return True
    return False


def read_query(raw: bytes) -> list[tuple[str, str]]:
    """Read the parameters of a query in order. Raises Refusal wrong_type."""
    if not raw:
        return []
    try:
        parameters = parse_qsl(quote(raw, safe=_UNQUOTED), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError as error:
        raise refuse_value(
            "query", f"最多 {MAX_QUERY_FIELDS} 个参数", f"it has over {MAX_QUERY_FIELDS} fields"
        ) from error
    for name, value in parameters:
        if name != "token" and ("\0" in name or "\0" in value):
            raise refuse_value(name.replace("\0", ""), "不能含 U+0000", "it must not hold U+0000")
    return parameters


def has_nul(value: object) -> bool:
    """Return whether a JSON value holds U+0000 anywhere, names of fields included."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(has_nul(name) or has_nul(item) for name, item in value.items())
    return isinstance(value, list) and any(map(has_nul, value))
