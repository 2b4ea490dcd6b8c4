"""`imsg send`: one message to a list of any length, in requests as large as the API takes."""

import base64
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from imsg.api import Api, Refused, Unreachable
from imsg.location import find_zone
from imsg.output import complain, usage
from imsg_runtime.lines import fill

CHUNK = 10_000
"""The API's own limit of one request (IMSG_MAX_RECIPIENTS). One request counts once against the limits."""

REPEATS = 3
"""How often a request whose outcome is not known is repeated, with the same Idempotency-Key."""

REPEAT_AFTER_S = 1.0

Recipient = str | Mapping[str, Any]
"""An address or a username; or `{to, params}`, with what a template takes of this recipient alone."""


@dataclass(frozen=True, slots=True)
class Message:
    """What all recipients get."""

    method: str
    content: str | dict[str, str]
    attachments: tuple[dict[str, str], ...] = ()
    account: str | None = None
    reference: str | None = None
    """The sender's own name for the request."""
    expires_in: int | None = None
    """Lifetime in seconds; None: the channel's."""
    category: str | None = None
    """code, notice or marketing."""
    sender: str | None = None
    """The sender of a mail, or the signature of an SMS, by its name."""
    reply_to: str | None = None
    """Where replies to a mail go, by its name in the settings."""
    template: str | None = None
    """In place of the content: a template, by its name."""
    params: Mapping[str, str] = field(default_factory=dict)
    """What the template takes of all recipients."""
    at: datetime | None = None
    """When it is to be sent; without an offset in the time zone of iMSG."""
    fallback: Sequence[Mapping[str, Any]] = ()
    """Other channels for recipients who are not reached, in the API's form."""

    def body(self, to: Sequence[Recipient], groups: Sequence[str] = ()) -> dict[str, Any]:
        """Return the body of POST /api/v2/messages, without the token."""
        whom: dict[str, Any] = {"groups": list(groups)} if groups else {"to": list(to) if len(to) != 1 else to[0]}
        body = {**whom, "method": self.method}
        if self.template is None:
            body["content"] = self.content
        else:
            body |= {"template": self.template, "params": dict(self.params)}
        if self.attachments:
            body["attachment"] = self.attachments[0] if len(self.attachments) == 1 else list(self.attachments)
        for name in ("account", "reference", "expires_in", "category", "sender", "reply_to"):
            if (value := getattr(self, name)) is not None:
                body[name] = value
        if self.at is not None:
            body["send_at"] = write_time(self.at)
        if self.fallback:
            body["fallback"] = list(self.fallback)
        return body


def write_time(at: datetime) -> str:
    """Return a time in the API's form: one without an offset is in the time zone of iMSG.

    Raises Exit where its clock shows the time twice or never.
    """
    if at.tzinfo is not None:
        return at.isoformat()
    zone = find_zone()
    first, second = (at.replace(tzinfo=zone, fold=fold).astimezone(UTC).astimezone(zone) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first.isoformat()
    if first.replace(tzinfo=None) != at:
        raise usage(fill("{0} never comes by the clock of {1}, which skips it: write another time.", at, zone))
    raise usage(
        fill(
            "{0} comes twice by the clock of {1}: write {2} or {3}.",
            at,
            zone,
            f"{first:%Y-%m-%dT%H:%M:%S%z}",
            f"{second:%Y-%m-%dT%H:%M:%S%z}",
        )
    )


class HasContacts(Protocol):
    """A person with addresses and fields."""

    @property
    def contacts(self) -> Mapping[str, str]:
        """Method → address."""

    @property
    def params(self) -> Mapping[str, str]:
        """The fields."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a group, as the API shows one."""

    contacts: Mapping[str, str]
    params: Mapping[str, str]


@dataclass(slots=True)
class Sent:
    """What the API has accepted so far."""

    recipients: int = 0
    count: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list)


class Interrupted(Exception):  # noqa: N818  not only an error: it has what was sent
    """Only a part of the list was accepted: `sent`; `why` stopped the rest."""

    def __init__(self, sent: Sent, why: Refused | Unreachable) -> None:
        super().__init__(str(why))
        self.sent = sent
        self.why = why


def send(
    api: Api,
    message: Message,
    to: Sequence[Recipient],
    chunk: int = CHUNK,
    *,
    quiet: bool = True,
    wait_s: float = REPEAT_AFTER_S,
) -> Sent:
    """Send to all, one request per chunk, with a progress bar unless quiet. Raises Interrupted."""
    sent = Sent()
    run = uuid.uuid4().hex
    with _progress(quiet=quiet) as progress:
        bar = progress.add_task("accepted", total=len(to))
        for first in range(0, len(to), chunk):
            recipients = to[first : first + chunk]
            try:
                answer = _post(api, message.body(recipients), f"{run}-{first}", wait_s)
            except (Refused, Unreachable) as why:
                raise Interrupted(sent, why) from why
            sent.answers.append(answer)
            sent.recipients += len(recipients)
            sent.count += int(answer.get("count", len(recipients)))
            progress.update(bar, completed=sent.recipients)
    return sent


def check(api: Api, message: Message, to: Sequence[Recipient], chunk: int) -> None:
    """Check all requests that a list becomes, but those of codes. Raises Refused, Unreachable, a usage error."""
    if len(to) <= chunk or message.category == "code":
        return
    wrong = 0
    for first in range(0, len(to), chunk):
        for problem in api.call("POST", "/api/v2/messages/check", message.body(to[first : first + chunk]))["problems"]:
            complain(f"{problem['to']}: {problem['detail']}")
            wrong += 1
    if wrong:
        raise usage(fill("{0} recipients are wrong, and nothing was sent.", wrong))


def send_to_groups(api: Api, message: Message, groups: Sequence[str]) -> Sent:
    """Send to groups in one request. Raises Refused, Unreachable."""
    answer = _post(api, message.body([], groups), uuid.uuid4().hex, REPEAT_AFTER_S)
    return Sent(int(answer["count"]), int(answer["count"]), [answer])


def read_groups(
    api: Api, groups: Sequence[str], methods: Sequence[str], template: str | None
) -> list[Recipient] | None:
    """Return the recipients of groups of more than one request takes; None where one takes them. Raises as `call`.

    `methods` are that of the send and those of its further legs.
    """
    paths = [f"/api/v2/groups/{quote(name, safe='')}" for name in groups]
    if sum(api.call("GET", path)["members"] for path in paths) <= CHUNK:
        return None
    takes = None if template is None else read_params(api, template)
    recipients: dict[str, Recipient] = {}
    for path in paths:
        for member in api.iterate(f"{path}/members", "members", {}):
            if to := member["contacts"].get(methods[0]) or member["to"]:
                person = Member(member["contacts"], member["params"])
                recipients.setdefault(to, personalise(to, person, takes, methods[1:], member["language"]))
    return list(recipients.values())


def read_params(api: Api, template: str) -> list[dict[str, Any]]:
    """Return the params of what is published of a template; of a draft where nothing is. Raises as `call`."""
    path = f"/api/v2/templates/{quote(template, safe='')}"
    answer = api.call("GET", path)
    if answer["published"] not in (None, answer["version"]):
        answer = api.call("GET", path, params={"version": str(answer["published"])})
    return list(answer["params"])


def personalise(
    to: str,
    person: HasContacts,
    takes: Sequence[Mapping[str, Any]] | None,
    legs: Sequence[str] = (),
    language: str | None = None,
) -> Recipient:
    """Return a recipient with the addresses of further legs, and what a template takes of them.

    `takes` is None where there is no template.
    """
    contacts = {method: person.contacts[method] for method in legs if method in person.contacts}
    own: dict[str, Any] = {"contacts": contacts}
    if takes is not None:
        fields = person.params
        params = {param["name"]: fields[param["name"]] for param in takes if param["name"] in fields}
        own |= {"params": params, "language": language}
    return {"to": to, **{name: value for name, value in own.items() if value}} if any(own.values()) else to


def _post(api: Api, body: dict[str, Any], key: str, wait_s: float) -> dict[str, Any]:
    """Post a request, and repeat it while its outcome is not known: with the key, the repeats are one request."""
    for _ in range(REPEATS):
        try:
            return api.call("POST", "/api/v2/messages", body, headers={"Idempotency-Key": key})
        except Refused as refused:
            if refused.answer.get("reason") not in ("outcome_unknown", "in_progress"):
                raise
        except Unreachable as unreachable:
            if not unreachable.__cause__ or "connect" in type(unreachable.__cause__).__name__.casefold():
                raise
        time.sleep(wait_s)
    return api.call("POST", "/api/v2/messages", body, headers={"Idempotency-Key": key})


def read_recipients(arguments: Sequence[str], file: Path | None) -> list[str]:
    """Return the recipients of the command line and a file: one per line, `#` begins a comment, `-` is stdin."""
    collected = [*arguments]
    if file is not None:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
        collected += list(_read_lines(text))
    return collected


def _read_lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if (recipient := line.strip()) and not recipient.startswith("#"):
            yield recipient


def read_text(option: str | None) -> str | None:
    """Return the text of an option: the text itself, standard input (`-`), or a file (`@FILE`)."""
    if option == "-":
        return sys.stdin.read()
    if option is not None and option.startswith("@"):
        try:
            return Path(option[1:]).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise usage(fill("{0} can't be read: {1}.", option[1:], (error.strerror or str(error)).lower())) from error
    return option


def read_attachment(path: Path) -> dict[str, str]:
    """Return a file in the API's form."""
    return {"filename": path.name, "file": base64.b64encode(path.read_bytes()).decode()}


def _progress(*, quiet: bool) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
