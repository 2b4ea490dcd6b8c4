"""The inbox: the newest messages that the providers accepted, bounded in memory."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

PATH = "/sandbox/inbox"

SHORT_CHARACTERS = 4_096
"""A list has the whole of a message whose texts and source have no more characters."""

LINE_CHARACTERS = 1_000
"""How much of a subject or address is returned."""

LISTED_FILES = 20
"""How many attachments of a message a list has."""

RECORD_BYTES = 1_024
"""What a message counts beside its raw bytes, so that tiny messages are bounded too."""


@dataclass(frozen=True, slots=True)
class File:
    """An attachment as it arrived."""

    filename: str
    sha256: str
    content: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.content)


@dataclass(frozen=True, slots=True)
class MessageContent:
    """The parts of a message that its recipient sees."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    attachments: tuple[File, ...] = ()
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One accepted message for one recipient."""

    method: str
    to: str
    sender: str
    raw: bytes
    at: datetime
    text: str | None = None
    """The text that the recipient sees, if it is known; else it is read from `raw`."""
    sharing: int = 1
    """How many messages share this `raw`."""
    provider: str = ""
    """The account whose provider accepted it."""


ContentReader = Callable[[bytes], MessageContent]
"""Reads a method's raw form, when the message is shown."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of the inbox under its number."""

    number: int
    message: ReceivedMessage

    @property
    def url(self) -> str:
        """The path of the message; below it, `/attachments/N` is each attachment, from 0."""
        return f"{PATH}/{self.number}"


class Inbox:
    """Accepted messages in order of arrival; beyond `limit_bytes` the oldest are removed."""

    def __init__(self, limit_bytes: int, readers: Mapping[str, ContentReader]) -> None:
        self._limit_bytes = limit_bytes
        self._readers = readers
        self._messages: deque[ReceivedMessage] = deque()
        self._bytes = 0
        self._last_number = 0

    def add(self, message: ReceivedMessage) -> int:
        """Add a message, and remove the oldest where there is no room; return its number, from 1."""
        self._messages.append(message)
        self._last_number += 1
        self._bytes += _weight(message)
        while self._bytes > self._limit_bytes and len(self._messages) > 1:
            self._bytes -= _weight(self._messages.popleft())
        return self._last_number

    def find(self, method: str | None = None, to: str | None = None) -> list[ReceivedMessage]:
        """Return the messages of a method to a recipient (letter case apart), oldest first."""
        return [stored.message for stored in self._find_matching(method, to)][::-1]

    def list_newest(self, method: str | None, to: str | None, before: int | None, limit: int) -> list[StoredMessage]:
        """Return at most `limit` messages, newest first, with numbers below `before`."""
        matching = self._find_matching(method, to)
        return list(islice((stored for stored in matching if before is None or stored.number < before), limit))

    def get(self, number: int) -> StoredMessage | None:
        """Return the message of a number; None if it does not exist, or was removed."""
        place = number - self._first
        return StoredMessage(number, self._messages[place]) if 0 <= place < len(self._messages) else None

    def read(self, message: ReceivedMessage) -> MessageContent:
        """Return what the recipient sees. It takes milliseconds for a large mail: call it in a thread."""
        return (
            MessageContent(text=message.text)
            if message.text is not None
            else self._readers[message.method](message.raw)
        )

    def clear(self) -> int:
        """Remove all messages; return how many there were."""
        count = len(self._messages)
        self._messages.clear()
        self._bytes = 0
        return count

    @property
    def _first(self) -> int:
        return self._last_number - len(self._messages) + 1

    def _find_matching(self, method: str | None, to: str | None) -> Iterator[StoredMessage]:
        """Yield the matching messages, newest first."""
        wanted = None if to is None else _normalize(to)
        for back, message in enumerate(reversed(self._messages)):
            if method is not None and message.method != method:
                continue
            if wanted is not None and _normalize(message.to) != wanted:
                continue
            yield StoredMessage(self._last_number - back, message)


def show_head(stored: StoredMessage, contents: MessageContent) -> dict[str, Any]:
    """Return a message as a list has it: whole if it is short, else with the beginning of its text."""
    text, html, raw = contents.text or "", contents.html or "", stored.message.raw
    is_short = len(text) + len(html) + len(raw) <= SHORT_CHARACTERS
    is_whole = is_short and len(contents.attachments) <= LISTED_FILES
    return {
        **_show(stored, contents, LISTED_FILES),
        "text": contents.text and contents.text[:SHORT_CHARACTERS],
        "html": contents.html if is_whole else None,
        "raw": _as_text(raw) if is_whole else None,
        "is_whole": is_whole,
    }


def show(stored: StoredMessage, contents: MessageContent, max_characters: int | None = None) -> dict[str, Any]:
    """Return a whole message, with its texts and source cut to `max_characters` characters."""
    return {
        **_show(stored, contents),
        "text": contents.text and contents.text[:max_characters],
        "html": contents.html and contents.html[:max_characters],
        "raw": _as_text(stored.message.raw)[:max_characters],
        "is_whole": True,
    }


def _show(stored: StoredMessage, contents: MessageContent, files: int | None = None) -> dict[str, Any]:
    message = stored.message
    return {
        "id": str(stored.number),
        "url": stored.url,
        "method": message.method,
        "provider": message.provider or message.method,
        "to": message.to[:LINE_CHARACTERS],
        "from": message.sender[:LINE_CHARACTERS],
        "subject": contents.subject and contents.subject[:LINE_CHARACTERS],
        "attachments": [
            {"filename": file.filename[:LINE_CHARACTERS], "size": file.size, "sha256": file.sha256}
            for file in contents.attachments[:files]
        ],
        "message_id": contents.message_id and contents.message_id[:LINE_CHARACTERS],
        "size": len(message.raw),
        "at": message.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }


def _weight(message: ReceivedMessage) -> int:
    return len(message.raw) // message.sharing + RECORD_BYTES


def _normalize(to: str) -> str:
    """Return an address without letter case, and a number of mainland China without its country code."""
    return to.strip().removeprefix("+86").casefold()


def _as_text(raw: bytes) -> str:
    """Decode without loss: as UTF-8, else byte for byte as Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
