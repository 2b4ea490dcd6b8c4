"""What the server answers. Fields of a newer server are ignored; those an older one lacks have defaults."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

SETTLED = frozenset({"cancelled", "sent", "failed", "expired", "uncertain", "delivered"})
"""Statuses after which only a receipt moves a message."""


class Model(BaseModel):
    """An answer, or a part of one; frozen."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Cost(Model):
    """What was paid, or is to be, in one currency."""

    amount: Decimal
    currency: str
    """ISO 4217."""
    estimated: bool
    """Whether the provider has not yet named the amount, or the segments that it charges."""


class Leg(Model):
    """One leg of a request with a fallback: message n of it is to the same person as message n of the others."""

    id: str
    method: str
    state: str | None = None
    """Of `get_request`: as a request's, or `waiting`, `unused`."""


class Accepted(Model):
    """A request that was accepted: from here on every recipient settles, whatever crashes."""

    id: str
    """The request's id: 32 hex digits. Message n of it is `ID-N`, from 0."""
    count: int
    """Messages, after duplicates."""
    segments: int | None = None
    """SMS: how many segments are paid for, over all recipients."""
    cost: tuple[Cost, ...] = ()
    """What it is likely to cost, a sum for each currency; empty where no price is known."""
    due_at: datetime | None = None
    """When it is to be sent; None: at once."""
    held_until: datetime | None = None
    """When the window opens that it waits for; None: it is not held."""
    held_by: str | None = None
    """The id of that window."""
    without_address: int = 0
    """Members of groups who have no address of the method, and were left out."""
    legs: tuple[Leg, ...] = ()
    """With a fallback: the request and its further legs."""


class Cancelled(Model):
    """What became of the messages that were to be cancelled. The same cancel is answered the same again."""

    cancelled: int
    """They are not sent, and their charge is given back."""
    too_late: int
    """They were being sent, or a provider may have them."""
    settled: int
    """They had been sent, had failed or had been cancelled before."""


class Released(Model):
    """What a window held, and is sent now."""

    released: int


class Problem(Model):
    """A recipient that can't be sent to, and why."""

    to: str
    reason: str
    detail: str


class Quota(Model):
    """One quota of the user, or of the whole installation, in its current period."""

    id: str
    scope: str
    """`user` or `all`."""
    counts: str
    """`requests`, `recipients` or `segments`."""
    per: str
    """`minute`, `hour`, `day` or `month`."""
    method: str | None = None
    limit: int
    used: int
    left: int
    opens_at: datetime


class Check(Model):
    """What a send of the same body would meet."""

    count: int
    duplicates: int
    without_address: int = 0
    """Members of groups who have no address of the method."""
    segments: int | None = None
    cost: tuple[Cost, ...] = ()
    """What it is likely to cost, a sum for each currency."""
    suppressed: int = 0
    available: bool
    quotas: tuple[Quota, ...] = ()
    problems: tuple[Problem, ...] = ()
    """The first 100 of them."""
    problems_total: int = 0


class MessageError(Model):
    """Why a message failed, or was not sent yet."""

    code: str | None = None
    detail: str | None = None


class AttachmentInfo(Model):
    """An attached file."""

    filename: str
    type: str
    size: int
    sha256: str


class Attempt(Model):
    """One entry of a message's timeline."""

    attempt: int | None = None
    at: datetime
    status: str
    """A status of messages, or `complaint`: the recipient called the message spam."""
    provider: str | None = None
    provider_id: str | None = None
    code: str | None = None
    detail: str | None = None


class Message(Model):
    """One message: a request's way to one recipient."""

    id: str
    username: str
    method: str
    to: str | None = None
    subject: str | None = None
    content: str | dict[str, Any] | None = None
    """None once it was erased."""
    attachments: tuple[AttachmentInfo, ...] = ()
    status: str
    """`scheduled`, `held`, `queued`, `retrying`; settled: those of `SETTLED`."""
    attempts: int = 0
    provider: str | None = None
    provider_id: str | None = None
    segments: int | None = None
    cost: Cost | None = None
    """None: nothing, or no price is known."""
    reference: str | None = None
    key: str | None = None
    """The name of the API key that sent it; None: a log-in's token."""
    test: bool = False
    """Whether a test key sent it: its provider is played."""
    category: str | None = None
    """`code`, `notice`, `marketing`; None from a server of before there were categories."""
    resend_of: str | None = None
    resent_as: tuple[str, ...] = ()
    error: MessageError | None = None
    created_at: datetime
    updated_at: datetime
    due_at: datetime | None = None
    """When it is to be sent; None: at once."""
    held_until: datetime | None = None
    """When the window opens that it waits for; None: it is not held."""
    held_by: str | None = None
    """The id of that window."""
    timeline: tuple[Attempt, ...] = ()
    """Where one message was asked for by its id."""

    @property
    def is_settled(self) -> bool:
        """Whether only a receipt can still move it."""
        return self.status in SETTLED


class Reply(Model):
    """What one person wrote back."""

    id: str
    method: str
    sender: str = Field(alias="from")
    """Who wrote it: as the message that it answers was addressed, else the number."""
    to: str | None = None
    """The number that was written to, where the provider says it."""
    text: str | None = None
    """None once it was erased."""
    opt_out: bool = False
    """Whether it asks for no more messages (退订, TD, N …)."""
    signature: str | None = None
    provider: str | None = None
    message: str | None = None
    """The last message that had gone to that person."""
    reference: str | None = None
    at: datetime


class Counts(Model):
    """The number of a request's messages in each status."""

    scheduled: int = 0
    held: int = 0
    queued: int = 0
    retrying: int = 0
    cancelled: int = 0
    uncertain: int = 0
    sent: int = 0
    failed: int = 0
    expired: int = 0
    delivered: int = 0

    @property
    def open(self) -> int:
        """Messages that are not settled yet."""
        return self.scheduled + self.held + self.queued + self.retrying


class Request(Model):
    """A request, and its messages' statuses."""

    id: str
    username: str
    method: str
    reference: str | None = None
    key: str | None = None
    """The name of the API key that sent it; None: a log-in's token."""
    test: bool = False
    """Whether a test key sent it: its provider is played."""
    category: str = "notice"
    subject: str | None = None
    content: str | dict[str, Any] | None = None
    resend_of: str | None = None
    to: str | None = None
    """The first recipient."""
    recipients: int
    state: str
    counts: Counts
    created_at: datetime
    leg: int | None = None
    leg_of: str | None = None
    """Which leg it is of which request, where that has a fallback."""
    legs: tuple[Leg, ...] = ()
    reached: int | None = None
    not_reached: int | None = None
    open: int | None = None
    """How many people its legs have reached, or have not; of `get_request` alone."""
    due_at: datetime | None = None
    """When it is to be sent; None: at once."""
    held_until: datetime | None = None
    """When the window opens that it waits for; None: it is not held."""
    held_by: str | None = None
    """The id of that window."""

    @property
    def is_settled(self) -> bool:
        """Whether every message of it has settled."""
        return self.state == "settled"


class Suppression(Model):
    """An address to which nothing is sent any more."""

    id: str
    method: str
    to: str
    reason: str
    evidence: str = ""
    note: str = ""
    message: str | None = None
    until: datetime | None = None
    created_at: datetime
    due_at: datetime | None = None
    """When it is to be sent; None: at once."""
    held_until: datetime | None = None
    """When the window opens that it waits for; None: it is not held."""
    held_by: str | None = None
    """The id of that window."""


class Group(Model):
    """People with fields of their own, addressed in a send by the group's name."""

    name: str
    owner: str
    shared: bool
    """Whether every user may read it and send to it."""
    note: str = ""
    members: int
    """How many there are."""
    created_at: datetime


class Consent(Model):
    """That a person agreed to get messages."""

    at: datetime
    source: str | None = None


class Member(Model):
    """One person of a group."""

    to: str | None = None
    """The user's name, where the person is known by one."""
    contacts: Mapping[str, str] = {}
    """Method → address."""
    params: Mapping[str, str] = {}
    """Fields of the person, such as the name."""
    language: str | None = None
    consent: Consent | None = None


class RowProblem(Model):
    """A row that was left out."""

    row: int
    """Its place in what was given, from 0."""
    detail: str


class MembersAdded(Model):
    """What became of members that were added."""

    added: int
    changed: int
    problems: tuple[RowProblem, ...] = ()


class MembersRemoved(Model):
    """What became of members that were removed."""

    removed: int
    unknown: tuple[str, ...] = ()
    """The addresses that no member has."""


class Channel(Model):
    """How a channel is."""

    method: str
    state: str
    """`open`, `paused` or `blocked`."""
    why: str | None = None
    until: datetime | None = None
    waiting: int | None = None


class TemplateParam(Model):
    """What a template takes."""

    name: str
    required: bool
    max: int
    """The most characters that all providers take."""
    example: str


class Template(Model):
    """A template of yours or a shared one; or, where `source` is `settings`, one of a channel's settings."""

    source: str = Field(default="catalog", alias="from")
    name: str
    category: str = "notice"
    shared: bool = True
    username: str | None = None
    default_language: str = ""
    languages: dict[str, Any] = Field(default_factory=dict)
    """Language → method → content in Liquid; in a list language → methods."""
    params: tuple[TemplateParam, ...] = ()
    version: int = 0
    published: int | None = None
    """The version that sends use; None: none yet."""
    state: str = "published"
    method: str | None = None
    """Of `settings` alone, as the rest."""
    default: bool = False
    signature: str = ""
    text: str = ""
    variables: dict[str, int | None] = Field(default_factory=dict)
    """Name → the most characters it may have; None: no limit of its own."""


class TemplateVersion(Model):
    """A version of a template."""

    version: int
    state: str
    username: str
    updated_at: datetime
    published_at: datetime | None


class TemplatePreview(Model):
    """What would be sent, byte for byte."""

    version: int
    language: str
    content: dict[str, Any]


class PageSession(Model):
    """A session of the web page."""

    id: str
    address: str
    agent: str
    created_at: datetime
    expires_at: datetime
    current: bool
    """Whether it is that of the client's own token."""


class NewTotp(Model):
    """A secret for an authenticator app."""

    secret: str
    uri: str
    """`otpauth://…`, as the app reads it."""
    qr: str
    """The same as a QR code: a data URI of an SVG."""


class User(Model):
    """The user of the token, with limits and what is left of them."""

    id: str
    username: str
    role: str
    phone: str | None = None
    email: str | None = None
    wechat: str | None = None
    available: bool
    quotas: tuple[Quota, ...] = ()
    per_hour: int | None = None
    per_day: int | None = None
    recipients_per_day: int | None = None
    sms_countries: tuple[str, ...] = ()
    default_category: str = "notice"
    department: str | None = None
    left_hour: int | None = None
    left_day: int | None = None
    created_at: datetime


class Bucket(Model):
    """An hour or a day of the statistics."""

    start: datetime
    counts: dict[str, Any]
    """Method → status → messages."""


class Stats(Model):
    """Messages counted by hour or day."""

    bucket: str
    timezone: str
    buckets: tuple[Bucket, ...]


Item = TypeVar("Item", bound=Model)


class Page(Model, Generic[Item]):
    """One page of a list."""

    items: tuple[Item, ...]
    next: str | None = None
    """The cursor of the next page; None: this is the last."""


class Callback(Model):
    """A URL of yours that is called, and how it is."""

    id: str
    username: str
    url: str
    events: tuple[str, ...]
    methods: tuple[str, ...] | None = None
    """None: of every channel."""
    description: str = ""
    enabled: bool
    state: str
    """`new`, `ok`, `failing` or `disabled`."""
    why: str | None = None
    failing_since: datetime | None = None
    reached_at: datetime | None = None
    last_error: str | None = None
    waiting: int = 0
    created_at: datetime


class NewCallback(Model):
    """A callback that was added, with its secret, which no later answer shows."""

    id: str
    secret: str


class CallbackTried(Model):
    """What a test call came to."""

    delivered: bool
    status: int | None = None
    error: str | None = None
    answer: str | None = None
    took_ms: int = 0


class CallbackDelivery(Model):
    """One event on its way to a callback, and the last answer."""

    event: str
    type: str
    state: str
    attempts: int
    status: int | None = None
    error: str | None = None
    answer: str | None = None
    tried_at: datetime | None = None
    next_at: datetime | None = None
    created_at: datetime
    body: str


class Key(Model):
    """An API key, without its secret."""

    id: str
    username: str
    hint: str
    """What one recognizes it by: its kind and its last digits."""
    name: str
    kind: str
    """`live` or `test`."""
    scopes: tuple[str, ...]
    networks: tuple[str, ...] = ()
    """The networks it may be used from; empty: all."""
    created_at: datetime
    expires_at: datetime | None = None
    """None: it does not end."""
    last_used_at: datetime | None = None
    """To some seconds; None: never."""
    last_used_from: str | None = None


class NewKey(Model):
    """A new key, which is returned only once."""

    id: str
    key: str


class Report(Model):
    """A report, and how far it is."""

    id: str
    kind: str
    """`usage` or `messages`."""
    by: tuple[str, ...] = ()
    since: datetime
    until: datetime
    timezone: str
    """The zone of its days and months."""
    filters: dict[str, str] = Field(default_factory=dict)
    format: str
    """`json`, `csv` or `xlsx`."""
    state: str
    """`waiting`, `running`, `done` or `failed`."""
    progress: int = 0
    """In percent."""
    rows: int = 0
    created_at: datetime
    expires_at: datetime
    """When it is deleted."""
    url: str | None = None
    """The path of its file, once it is done: see `report_file`."""
