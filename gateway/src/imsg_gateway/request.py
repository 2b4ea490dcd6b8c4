"""What a client asked: one request, read once, with its token apart from its fields."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.types import Scope

from imsg_contract.errors import Refusal
from imsg_gateway import json_errors
from imsg_gateway.parts import PIECE_BYTES
from imsg_gateway.validation_errors import field_wrong

MAX_QUERY_FIELDS = 100
LARGE_BYTES = 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_AS_IT_IS = "%&=+;/?:@!$'()*,~"
"""What `quote` leaves alone, so that only raw UTF-8 (some clients never encode it) is encoded for `parse_qsl`."""

_ESCAPED_NUL = b"\\u0000"


class ClientRequest(NamedTuple):
    """One request. `token` is as given, None where there is none; whether it holds is for `callers` to say."""

    verb: str
    path: str
    names: tuple[str, ...]
    """What stands in the path where its pattern has a name: a username, an id."""
    query: tuple[tuple[str, str], ...]
    """The query's fields in order, the token apart."""
    headers: Headers
    fields: Mapping[str, Any]
    """The body's object, the token apart; empty where there is no body. What v1 ignores is among it."""
    token: object
    """Str in a sound request; whatever JSON value stood in the body's `token`."""
    address: str
    """The client's own address, behind trusted proxies too."""
    size: int
    """Bytes of the body."""
    may_have_nul: bool
    """Whether U+0000 may stand somewhere in the fields: a cheap look that spares the usual request a search."""

    @property
    def language(self) -> str:
        """What the client wants to read, as it said."""
        return self.headers.get("accept-language", "")


def read(
    scope: Scope, headers: Headers, path: str, names: tuple[str, ...], body: bytes, *, address: str, needs_body: bool
) -> ClientRequest:
    """Read a request. Raises Refusal not_json, not_an_object, wrong_type (the query)."""
    fields = _object(body) if body or needs_body else {}
    query = read_query(scope["query_string"])
    token = fields.pop("token", None)
    if token is None:
        token = find_token(headers, query)
    query = tuple((name, value) for name, value in query if name != "token")
    return ClientRequest(
        verb=scope["method"],
        path=path,
        names=names,
        query=query,
        headers=headers,
        fields=fields,
        token=token,
        address=address,
        size=len(body),
        may_have_nul=_may_have_nul(body),
    )


def find_token(headers: Headers, query: Sequence[tuple[str, str]]) -> str | None:
    """Return the token of a request that shows it beside its body."""
    if (token := _bearer(headers)) is not None:
        return token
    given = [value for name, value in query if name == "token"]
    return given[-1].replace(" ", "+") if given else None


def _object(body: bytes) -> dict[str, Any]:
    try:
        # Strict where Python's own reader is not: no NaN, no lone surrogates, bounded depth and digits.
        found = from_json(body.removeprefix(_BOM), allow_inf_nan=False)
    except ValueError as error:
        raise json_errors.explain(body.removeprefix(_BOM), error) from error
    if not isinstance(found, dict):
        raise Refusal("not_an_object")
    return found


def _may_have_nul(body: bytes) -> bool:
    if len(body) <= LARGE_BYTES:
        return _ESCAPED_NUL in body
    for at in range(0, len(body), PIECE_BYTES):
        # An escape may be cut in two by a piece's end: it begins in one, and is sought a little beyond.
        end = at + PIECE_BYTES
        if body.find(b"\\", at, end) >= 0 and body.find(_ESCAPED_NUL, at, end + len(_ESCAPED_NUL) - 1) >= 0:
            return True
    return False


def read_query(raw: bytes) -> tuple[tuple[str, str], ...]:
    """Read a query's fields in order. Raises Refusal wrong_type."""
    if not raw:
        return ()
    try:
        text = quote(raw, safe=_AS_IT_IS)
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError as error:
        raise field_wrong(
            "query", f"最多 {MAX_QUERY_FIELDS} 个参数", f"it has over {MAX_QUERY_FIELDS} fields"
        ) from error
    for name, value in fields:
        if name != "token" and ("\0" in name or "\0" in value):
            raise field_wrong(name.replace("\0", ""), "不能含 U+0000", "it must not hold U+0000")
    return tuple(fields)


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def has_nul(value: object) -> bool:
    """Tell whether U+0000 stands anywhere in a JSON value, names of fields included."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(has_nul(name) or has_nul(item) for name, item in value.items())
    return isinstance(value, list) and any(map(has_nul, value))
