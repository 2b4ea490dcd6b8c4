"""What other services answer: a table of URL, right and owner; bytes go through unread."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlencode

from pydantic_core import from_json, to_json
from starlette.responses import Response

from imsg_channels import CONTACTS
from imsg_gateway.authentication import Credential
from imsg_gateway.request import ClientRequest, has_nul
from imsg_gateway.routes import Handler, Right, Route
from imsg_gateway.validation_errors import field_wrong
from imsg_web.responses import HEADERS, JSON
from imsg_web.service_client import CALL_TIMEOUT_S, Peer, ServiceFailed

Owner = Literal["auth", "history", "callbacks", "catalog"]


TIMEOUT_S = 15.0
"""For what changes something: a log-in that is being slowed waits 5 s, and of a change that is given up nobody knows
whether it was made. What only reads has the time of a call between services: to ask again costs nothing."""

EVENTS_TIMEOUT_S = 75.0
"""Whoever reads events may wait 60 s for one."""

TEST_TIMEOUT_S = 25.0
"""A callback that is tried out has 15 s."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """One URL that another service answers, and what of a request reaches it."""

    verb: str
    path: str
    right: Right
    owner: Owner
    at: str
    """The owner's own path, which stays through versions of the gateway: during a roll both call it."""
    fields: tuple[str, ...] = ()
    """Of the body."""
    params: tuple[str, ...] = ()
    """Of the query."""
    needs_body: bool = False
    timeout_s: float | None = None
    """None: as what it does takes."""


LOGIN = ("username", "password")
LIMITS = ("per_day", "per_hour", "available")
USER = (*CONTACTS, "role", *LIMITS)
FILTERS = ("id", "username", "method", "status", "to", "since", "until", "limit", "cursor")
V2_FILTERS = (*FILTERS, "reference", "code", "part")
REPLIES = ("id", "username", "method", "from", "since", "until", "limit", "cursor")
SPAN = ("username", "since", "until", "bucket")
PAGE = ("limit", "cursor")
SUPPRESSION = ("method", "to", "scope", "reason", "until", "note")
ENDPOINT = ("url", "events", "methods", "description")

RELAYED: tuple[Relayed, ...] = (
    # v1: what its document and docs/interface list, for good
    Relayed("POST", "/api/login", Right.OPEN, "auth", "/api/login", LOGIN, needs_body=True),
    Relayed("POST", "/api/register", Right.ADMIN, "auth", "/api/register", (*LOGIN, *USER), needs_body=True),
    Relayed("POST", "/api/modify/{}", Right.ADMIN, "auth", "/api/modify/{}", LIMITS, needs_body=True),
    Relayed("GET", "/api/query", Right.USER, "history", "/api/query", params=FILTERS),
    # v2
    Relayed("POST", "/api/v2/login", Right.OPEN, "auth", "/api/login", LOGIN, needs_body=True),
    Relayed("POST", "/api/v2/register", Right.ADMIN, "auth", "/api/register", (*LOGIN, *USER), needs_body=True),
    Relayed("POST", "/api/v2/modify/{}", Right.ADMIN, "auth", "/api/modify/{}", LIMITS, needs_body=True),
    Relayed("POST", "/api/v2/logout", Right.USER, "auth", "/api/logout", ("everywhere",)),
    Relayed("POST", "/api/v2/password", Right.USER, "auth", "/api/password", ("old", "new"), needs_body=True),
    Relayed("GET", "/api/v2/me", Right.USER, "auth", "/api/me"),
    Relayed("GET", "/api/v2/users", Right.ADMIN, "auth", "/api/users", params=("search", *PAGE)),
    Relayed("GET", "/api/v2/users/{}", Right.ADMIN, "auth", "/api/users/{}"),
    Relayed(
        "PATCH",
        "/api/v2/users/{}",
        Right.ADMIN,
        "auth",
        "/api/users/{}",
        ("password", *USER, "recipients_per_day", "may_send_codes", "senders"),
        needs_body=True,
    ),
    Relayed("DELETE", "/api/v2/users/{}", Right.ADMIN, "auth", "/api/users/{}"),
    Relayed(
        "PATCH",
        "/api/v2/channels/{}/providers/{}",
        Right.ADMIN,
        "auth",
        "/api/channels/{}/providers/{}",
        ("enabled", "weight"),
        needs_body=True,
    ),
    Relayed("GET", "/api/v2/messages", Right.USER, "history", "/api/messages", params=V2_FILTERS),
    Relayed("GET", "/api/v2/requests", Right.USER, "history", "/api/requests", params=V2_FILTERS),
    Relayed("GET", "/api/v2/requests/{}", Right.USER, "history", "/api/requests/{}"),
    Relayed("GET", "/api/v2/replies", Right.USER, "history", "/api/replies", params=REPLIES),
    Relayed("GET", "/api/v2/stats", Right.USER, "history", "/api/stats", params=SPAN),
    Relayed("GET", "/api/v2/dead", Right.ADMIN, "history", "/api/dead", params=PAGE),
    Relayed("GET", "/api/v2/dead/{}", Right.ADMIN, "history", "/api/dead/{}"),
    Relayed("POST", "/api/v2/erasures", Right.ADMIN, "history", "/api/erasures", ("method", "to"), needs_body=True),
    Relayed("GET", "/api/v2/erasures/{}", Right.ADMIN, "history", "/api/erasures/{}"),
    Relayed(
        "GET",
        "/api/v2/suppressions",
        Right.ADMIN,
        "catalog",
        "/api/suppressions",
        params=("method", "reason", "to", *PAGE),
    ),
    Relayed("POST", "/api/v2/suppressions", Right.ADMIN, "catalog", "/api/suppressions", SUPPRESSION, needs_body=True),
    Relayed("DELETE", "/api/v2/suppressions/{}", Right.ADMIN, "catalog", "/api/suppressions/{}"),
    Relayed("GET", "/api/v2/callbacks", Right.USER, "callbacks", "/api/callbacks"),
    Relayed("POST", "/api/v2/callbacks", Right.USER, "callbacks", "/api/callbacks", ENDPOINT, needs_body=True),
    Relayed(
        "PATCH",
        "/api/v2/callbacks/{}",
        Right.USER,
        "callbacks",
        "/api/callbacks/{}",
        (*ENDPOINT, "all_methods", "enabled"),
        needs_body=True,
    ),
    Relayed("DELETE", "/api/v2/callbacks/{}", Right.USER, "callbacks", "/api/callbacks/{}"),
    Relayed(
        "POST",
        "/api/v2/callbacks/{}/test",
        Right.USER,
        "callbacks",
        "/api/callbacks/{}/test",
        timeout_s=TEST_TIMEOUT_S,
    ),
    Relayed("POST", "/api/v2/callbacks/{}/rotate", Right.USER, "callbacks", "/api/callbacks/{}/rotate"),
    Relayed(
        "POST",
        "/api/v2/callbacks/{}/recover",
        Right.USER,
        "callbacks",
        "/api/callbacks/{}/recover",
        ("since", "until"),
        needs_body=True,
    ),
    Relayed(
        "GET",
        "/api/v2/callbacks/{}/deliveries",
        Right.USER,
        "callbacks",
        "/api/callbacks/{}/deliveries",
        params=("state", *PAGE),
    ),
    Relayed(
        "POST",
        "/api/v2/callbacks/{}/deliveries/{}/resend",
        Right.USER,
        "callbacks",
        "/api/callbacks/{}/deliveries/{}/resend",
    ),
    Relayed(
        "GET",
        "/api/v2/events",
        Right.USER,
        "callbacks",
        "/api/events",
        params=("after", "wait", "limit"),
        timeout_s=EVENTS_TIMEOUT_S,
    ),
)
"""A test holds `fields` and `params` to what the owners' documents say that they read."""

NOT_FOUND = 404

RETURNED_HEADERS = ("retry-after", "cache-control", "allow", *(name.lower() for name in HEADERS.values()))


def routes(owners: Mapping[Owner, Peer]) -> Iterator[Route]:
    """Make the routes of everything that is relayed."""
    for row in RELAYED:
        handler = relay(owners[row.owner], row)
        fields, params = frozenset(row.fields), frozenset(row.params)
        yield Route(row.verb, row.path, row.right, handler, row.needs_body, fields, params, row.owner, row.at)


def relay(owner: Peer, row: Relayed) -> Handler:
    """Make the handler that has a request answered by its owner. Raises ServiceUnavailable."""
    timeout_s = row.timeout_s or (CALL_TIMEOUT_S if row.verb == "GET" else TIMEOUT_S)

    async def answer(asked: ClientRequest, credential: Credential | None) -> Response:
        if asked.may_have_nul:
            _refuse_nul(asked)
        caller = await credential.authenticate() if credential is not None else None
        headers = {
            "x-imsg-address": asked.address,
            "accept-language": asked.language.encode("ascii", "ignore").decode(),
        }
        if credential is not None:
            headers["x-imsg-token"] = "".join(credential.text.split())
        content = None
        if asked.verb in ("POST", "PATCH"):
            content = to_json({name: value for name, value in asked.fields.items() if name in row.fields})
            headers["content-type"] = JSON
        url = row.at.replace("{}", "%s") % tuple(quote(name, safe="") for name in asked.names)
        if query := [(name, value) for name, value in asked.query if name in row.params]:
            url += f"?{urlencode(query)}"
        given = await owner.call(asked.verb, url, caller=caller, content=content, headers=headers, timeout_s=timeout_s)
        if "json" not in given.headers.get("content-type", ""):
            raise ServiceFailed(f"{asked.path} was answered {given.status_code} by something else than its owner")
        if given.status_code == NOT_FOUND and from_json(given.content).get("reason") == "no_such_url":
            raise ServiceFailed(f"{row.owner} has no {row.at}: it is of an older version")
        kept = {name: given.headers[name] for name in RETURNED_HEADERS if name in given.headers}
        return Response(given.content, given.status_code, kept, JSON)

    return answer


def _refuse_nul(asked: ClientRequest) -> None:
    for name, value in asked.fields.items():
        if has_nul(name) or has_nul(value):
            raise field_wrong(name.replace("\0", ""), "不能含 U+0000", "it must not hold U+0000")
