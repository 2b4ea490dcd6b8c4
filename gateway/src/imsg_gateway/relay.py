"""What other services answer: a table of URL, right and owner; bytes go through unread."""

from collections.abc import Iterator, Mapping
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic_core import to_json
from starlette.responses import Response

from imsg_gateway.asked import Asked, has_nul
from imsg_gateway.callers import Claim
from imsg_gateway.complaints import field_wrong
from imsg_gateway.routes import Handler, Right, Route
from imsg_shared.answers import JSON
from imsg_shared.peers import Peer, PeerFailed

Owner = Literal["auth", "history"]

RELAYED: tuple[tuple[str, str, Right, Owner, bool], ...] = (
    ("POST", "/api/login", Right.OPEN, "auth", True),
    ("POST", "/api/register", Right.ADMIN, "auth", True),
    ("POST", "/api/modify/{}", Right.ADMIN, "auth", True),
    ("POST", "/api/logout", Right.USER, "auth", False),
    ("POST", "/api/password", Right.USER, "auth", True),
    ("GET", "/api/me", Right.USER, "auth", False),
    ("GET", "/api/users", Right.ADMIN, "auth", False),
    ("GET", "/api/users/{}", Right.ADMIN, "auth", False),
    ("PATCH", "/api/users/{}", Right.ADMIN, "auth", True),
    ("DELETE", "/api/users/{}", Right.ADMIN, "auth", False),
    ("GET", "/api/query", Right.USER, "history", False),
    ("GET", "/api/stats", Right.USER, "history", False),
    ("GET", "/api/dead", Right.ADMIN, "history", False),
    ("GET", "/api/dead/{}", Right.ADMIN, "history", False),
)
"""Verb, path, right, owner, whether a body is wanted."""

TIMEOUT_S = 15.0
"""A log-in that is being slowed waits 5 s; a query over much history may take longer than a call between services."""

RETURNED_HEADERS = ("retry-after", "cache-control", "allow")


def routes(owners: Mapping[Owner, Peer]) -> Iterator[Route]:
    """Make the routes of everything that is relayed."""
    for verb, path, right, owner, needs_body in RELAYED:
        yield Route(verb, path, right, relay(owners[owner]), needs_body)


def relay(owner: Peer) -> Handler:
    """Make the handler that has a request answered by its owner. Raises PeerAway."""

    async def answer(asked: Asked, claim: Claim | None) -> Response:
        if asked.may_have_nul:
            _refuse_nul(asked)
        caller = await claim.judged() if claim is not None else None
        headers = {
            "x-imsg-address": asked.address,
            "accept-language": asked.language.encode("ascii", "ignore").decode(),
        }
        if claim is not None:
            headers["x-imsg-token"] = "".join(claim.text.split())
        content = None
        if asked.verb in ("POST", "PATCH"):
            content = to_json(asked.fields)
            headers["content-type"] = JSON
        url = "/".join(quote(segment, safe="") for segment in asked.path.split("/"))
        if asked.query:
            url += f"?{urlencode(asked.query)}"
        given = await owner.call(asked.verb, url, caller=caller, content=content, headers=headers, timeout_s=TIMEOUT_S)
        if "json" not in given.headers.get("content-type", ""):
            raise PeerFailed(f"{asked.path} was answered {given.status_code} by something else than its owner")
        kept = {name: given.headers[name] for name in RETURNED_HEADERS if name in given.headers}
        return Response(given.content, given.status_code, kept, JSON)

    return answer


def _refuse_nul(asked: Asked) -> None:
    for name, value in asked.fields.items():
        if has_nul(name) or has_nul(value):
            raise field_wrong(name.replace("\0", ""), "不能含U+0000", "it must not hold U+0000")
