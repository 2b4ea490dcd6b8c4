"""One call of the interface, and what its answer says. Pure: nothing here waits or connects."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar

import httpx
from pydantic import ValidationError

from imsg_client.contents import Attachment
from imsg_client.errors import ConnectionFailed, ImsgError, UnexpectedAnswer, refusal
from imsg_client.models import Member, Model, Page
from imsg_client.retries import Failure


class InGroups(NamedTuple):
    """The members of groups, as recipients."""

    groups: tuple[str, ...]


Recipients = str | Sequence[str | Mapping[str, Any]] | InGroups
"""Addresses or usernames; with a fallback also `{"to": …, "contacts": {method: address}}`."""
Content = str | Mapping[str, Any]
Body = Mapping[str, Any]
Query = Mapping[str, str | int | None]
Answer = TypeVar("Answer", bound=Model)


class Options(TypedDict, total=False):
    """The options of a send."""

    account: str
    """The official account, where there are several (WeChat)."""
    category: Literal["code", "notice", "marketing"]
    """`code`: a log-in code, sent before all else, to one recipient; the user needs the right to send codes."""
    reference: str
    """What you call it: returned everywhere, and a filter."""
    expires_in: int
    """Seconds after which it expires: 30 to 172,800."""
    sender: str
    """Mail and SMS: by which of the senders or signatures that your administrator has set, of those you may use."""
    reply_to: str
    """Mail: where answers go."""
    template: str
    """In place of a content (None): one of your published templates, or a shared one."""
    template_version: int
    params: Mapping[str, str]
    """What the template takes; those of a recipient, `{"to", "params", "language"}`, win."""
    language: str
    send_at: datetime
    """When it is to be sent, at most 30 days ahead; with a time zone."""
    until: Literal["sent", "delivered"]
    """With `fallback`: the status at which the first channel has reached a person."""
    fallback: Sequence[Mapping[str, Any]]
    """Up to three other channels for people not reached: `{"method", "after_s", "content", "until"?}`, or with a
    `template` and `params` in place of the content."""


class Filters(TypedDict, total=False):
    """Which messages or requests are listed."""

    method: str
    status: str | Sequence[str]
    """One or several."""
    to: str
    """A recipient as written, or its normal form."""
    reference: str
    state: Literal["scheduled", "held"]
    """Of requests: those that wait for their time, or for a window."""
    key: str
    """The name of the API key that sent it."""
    code: str
    """An error's code."""
    since: datetime
    """With a time zone, as `until`."""
    until: datetime


class CallbackChange(TypedDict, total=False):
    """What of a callback is to be otherwise."""

    url: str
    events: Sequence[str]
    methods: Sequence[str] | None
    """None: of every channel again."""
    description: str
    enabled: bool


class GroupChange(TypedDict, total=False):
    """The changes of a group."""

    name: str
    shared: bool
    note: str


class NewMember(TypedDict, total=False):
    """A person for a group: `to`, or `contacts`."""

    to: str
    """An address of any channel, or a username."""
    contacts: Mapping[str, str]
    """Method → address."""
    params: Mapping[str, str]
    language: str
    consent: Mapping[str, str]
    """`at` (RFC 3339) and `source`."""


MEMBERS_AT_ONCE = 10_000
"""Members of one call."""

RECIPIENTS_AT_ONCE = 10_000
"""Recipients of one request, unless the server's settings say otherwise."""


class KeyChange(TypedDict, total=False):
    """The changes of an API key."""

    name: str
    scopes: Sequence[str]
    networks: Sequence[str] | None
    """None: it may be used from everywhere."""
    expires_at: datetime | None
    """With a time zone; None: it does not end."""


class ReportFilters(TypedDict, total=False):
    """Which messages a report counts or lists: all that have each of these."""

    user: str
    department: str
    key: str
    method: str
    provider: str
    template: str
    category: str
    status: str
    """Of `messages`, as the rest: one, or several with commas between them."""
    to: str
    reference: str
    code: str


class TemplateFields(TypedDict, total=False):
    """What a template is; a new one takes all but `shared`."""

    category: str
    shared: bool
    default_language: str
    languages: Mapping[str, Mapping[str, Mapping[str, Any]]]
    """Language → method → content in Liquid."""


FILE_TYPES = frozenset(
    {"application/json", "text/csv", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
)
"""What the file of a report may be."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the API, the same for each of its tries."""

    method: str
    path: str
    query: Query = field(default_factory=dict)
    body: Body | None = None
    key: str | None = None
    """Its Idempotency-Key."""
    is_repeatable: bool = False
    """Whether it may be tried again although the answer was lost."""
    timeout_s: float | None = None
    """The timeout of one try, where it differs from the client's."""
    expects: Literal["object", "file", "nothing"] = "object"
    """What a success answers."""

    @property
    def params(self) -> dict[str, str | int]:
        """The query's fields that are given."""
        return {name: value for name, value in self.query.items() if value is not None}

    def headers(self, token: str | None) -> dict[str, str]:
        """Write its headers."""
        values = {"Authorization": token and f"Bearer {token}", "Idempotency-Key": self.key}
        return {name: value for name, value in values.items() if value is not None}


class ClientResponse(NamedTuple):
    """The answer to a call that succeeded."""

    body: dict[str, Any]
    content: bytes


def send_body(
    method: str, to: Recipients, content: Content | None, attachments: Sequence[Attachment], options: Options
) -> dict[str, Any]:
    """Write the body of a send or a check. Raises ValueError for a time without a zone."""
    body: dict[str, Any] = {
        "method": method,
        **_write_recipients(to),
        **({} if content is None else {"content": content if isinstance(content, str) else dict(content)}),
        **{name: value for name, value in options.items() if value is not None},
    }
    if (send_at := options.get("send_at")) is not None:
        body["send_at"] = format_time(send_at)
    if attachments:
        body["attachment"] = [attachment.encode() for attachment in attachments]
    return body


def _write_recipients(to: Recipients) -> Body:
    if isinstance(to, InGroups):
        return {"groups": list(to.groups)}
    return {"to": to if isinstance(to, str) else list(to)}


def write_member(address: str, member: Member, takes: Sequence[str] | None) -> str | Mapping[str, Any]:
    """Write a member of a group as a recipient, with what a template takes of their fields."""
    params = {name: member.params[name] for name in takes or () if name in member.params}
    own = {name: value for name, value in (("params", params), ("language", member.language)) if value}
    return {"to": address, **own} if takes is not None and own else address


def filter_query(filters: Filters) -> dict[str, str | int | None]:
    """Write filters as a query. Raises ValueError for a time without a zone."""
    status = filters.get("status")
    rest = {name: value for name, value in filters.items() if isinstance(value, str)}
    times = {name: format_time(value) for name, value in filters.items() if isinstance(value, datetime)}
    return {**rest, **times, "status": ",".join([status] if isinstance(status, str) else status or ()) or None}


def key_body(changes: KeyChange) -> Body:
    """Write the changes of a key. Raises ValueError for a time without a zone."""
    times = {name: format_time(value) for name, value in changes.items() if isinstance(value, datetime)}
    return {**changes, **times}


def format_time(at: datetime | None) -> str | None:
    """Write a time (RFC 3339). Raises ValueError without a time zone."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError("give the time a time zone, such as datetime.now(UTC)")
    return at.isoformat()


def new_key() -> str:
    """Make an Idempotency-Key."""
    return secrets.token_hex(16)


def read(kind: type[Answer], data: object) -> Answer:
    """Read an answer. Raises UnexpectedAnswer."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise UnexpectedAnswer(f"this answer is no {kind.__name__}: {error}") from error


def read_page(kind: type[Answer], answer: Mapping[str, Any], name: str) -> Page[Answer]:
    """Read a page of a list. Raises UnexpectedAnswer."""
    items = answer.get(name)
    if not isinstance(items, list):
        raise UnexpectedAnswer(f"the answer has no list of {name}")
    return Page(items=tuple(read(kind, item) for item in items), next=answer.get("next"))


def read_body(answer: httpx.Response) -> dict[str, Any]:
    """Read a JSON object; empty where there is none. Raises httpx.DecodingError where it breaks off.

    Without a Content-Length, which a proxy may leave out, a connection that is lost looks like one that has ended.
    """
    try:
        body = answer.json()
    except ValueError as error:
        if "json" in answer.headers.get("Content-Type", ""):
            raise httpx.DecodingError("the answer breaks off", request=answer.request) from error
        return {}
    return body if isinstance(body, dict) else {}


def is_success(call: Call, answer: httpx.Response, body: Mapping[str, Any]) -> bool:
    """Whether it is iMSG that answers, and with what the call expects."""
    match call.expects:
        case "object":
            return answer.is_success and body.get("errorCode") == 0
        case "file":
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return answer.status_code == httpx.codes.OK and kind in FILE_TYPES
        case "nothing":
            return answer.status_code == httpx.codes.NO_CONTENT


TRANSPORT_ERRORS = (httpx.TransportError, httpx.DecodingError)
"""The error where no answer came, or only a part of one."""


def explain_transport_error(call: Call, base_url: httpx.URL, error: httpx.RequestError) -> tuple[Failure, ImsgError]:
    """Return the failure and the error of a call without a complete answer."""
    was_sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    raised = ConnectionFailed(f"{call.method} {base_url}{call.path.lstrip('/')}: {error or type(error).__name__}")
    raised.__cause__ = error
    return Failure(was_sent=was_sent), raised


def explain_refusal(answer: httpx.Response, body: Mapping[str, Any]) -> tuple[Failure, ImsgError]:
    """Return the failure and the error of an answer that is no success."""
    after_s = _retry_after_s(answer)
    failure = Failure(status=answer.status_code, reason=str(body.get("reason", "")), retry_after_s=after_s)
    if "errorCode" in body:
        return failure, refusal(answer.status_code, body, after_s)
    what = answer.headers.get("Content-Type", "nothing")
    return failure, UnexpectedAnswer(
        f"{answer.request.method} {answer.request.url} answered {answer.status_code} with {what}, which is none of "
        "iMSG's answers: is base_url right, and is there a proxy that answers by itself?"
    )


def _retry_after_s(answer: httpx.Response) -> float | None:
    """Read Retry-After (RFC 9110, 10.2.3): seconds, or a date."""
    value = answer.headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
