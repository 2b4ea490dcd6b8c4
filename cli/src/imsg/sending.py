"""`imsg send`: a message to some or to a long list, in requests as large as the API takes."""

import base64
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from imsg.api import Api, Refused, Unreachable
from imsg.output import usage

CHUNK = 10_000
"""The API's own limit of one request (IMSG_MAX_RECIPIENTS). One request counts once against the limits."""

REPEATS = 3
"""How often a request without a known outcome is repeated, under the same Idempotency-Key."""

REPEAT_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to everybody."""

    method: str
    content: str | dict[str, str]
    attachments: tuple[dict[str, str], ...] = ()
    account: str | None = None
    reference: str | None = None
    """What the sender calls it."""
    expires_in: int | None = None
    """Seconds for which it is tried, instead of its method's time."""
    category: str | None = None
    """What it is for: code, notice or marketing."""
    sender: str | None = None
    """Who a mail comes from, and where replies go, by the names of the settings."""
    reply_to: str | None = None

    def body(self, to: Sequence[str]) -> dict[str, Any]:
        """Make the body of POST /api/v2/messages, without the token."""
        made: dict[str, Any] = {"to": list(to) if len(to) != 1 else to[0], "method": self.method}
        made["content"] = self.content
        if self.attachments:
            made["attachment"] = self.attachments[0] if len(self.attachments) == 1 else list(self.attachments)
        for name in ("account", "reference", "expires_in", "category", "sender", "reply_to"):
            if (value := getattr(self, name)) is not None:
                made[name] = value
        return made


@dataclass(slots=True)
class Sent:
    """What the API has accepted so far."""

    recipients: int = 0
    count: int = 0
    answers: list[dict[str, Any]] = field(default_factory=list)


class Interrupted(Exception):  # noqa: N818  carries on what was done
    """The list was not accepted whole: `sent` was, `why` stopped the rest."""

    def __init__(self, sent: Sent, why: Refused | Unreachable) -> None:
        super().__init__(str(why))
        self.sent = sent
        self.why = why


def send(
    api: Api,
    message: Message,
    to: Sequence[str],
    chunk: int = CHUNK,
    *,
    quiet: bool = True,
    wait_s: float = REPEAT_AFTER_S,
) -> Sent:
    """Send to all, a chunk a request, with a bar on the way unless quiet. Raises Interrupted."""
    sent = Sent()
    run = uuid.uuid4().hex
    with _progress(quiet=quiet) as progress:
        bar = progress.add_task("accepted", total=len(to))
        for first in range(0, len(to), chunk):
            part = to[first : first + chunk]
            try:
                answer = _post(api, message.body(part), f"{run}-{first}", wait_s)
            except (Refused, Unreachable) as why:
                raise Interrupted(sent, why) from why
            sent.answers.append(answer)
            sent.recipients += len(part)
            sent.count += int(answer.get("count", len(part)))
            progress.update(bar, completed=sent.recipients)
    return sent


def _post(api: Api, body: dict[str, Any], key: str, wait_s: float) -> dict[str, Any]:
    """Post once, and again where nobody knows what became of it: the key makes the repeats one request."""
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


def recipients(given: Sequence[str], file: Path | None) -> list[str]:
    """Collect recipients from the command line and a file: one a line, `#` begins a comment, `-` is stdin."""
    collected = [*given]
    if file is not None:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
        collected += list(_lines(text))
    return collected


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if (recipient := line.strip()) and not recipient.startswith("#"):
            yield recipient


def text_of(given: str | None) -> str | None:
    """Return a text as given, from standard input (`-`), or from a file (`@FILE`)."""
    if given == "-":
        return sys.stdin.read()
    if given is not None and given.startswith("@"):
        try:
            return Path(given[1:]).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise usage(f"{given[1:]} can't be read: {(error.strerror or str(error)).lower()}.") from error
    return given


def attachment(path: Path) -> dict[str, str]:
    """Make the API's form of a file."""
    return {"filename": path.name, "file": base64.b64encode(path.read_bytes()).decode()}


def _progress(*, quiet: bool) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
