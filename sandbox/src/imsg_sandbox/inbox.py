"""The inbox: everything the stand-ins accepted, newest kept, bounded in memory."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

RECORD_BYTES = 1_024
"""What a message weighs beside its raw bytes: an allowance, so that tiny messages are bounded too."""


@dataclass(frozen=True, slots=True)
class File:
    """An attachment as it arrived."""

    filename: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What a person would see of a message."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    attachments: tuple[File, ...] = ()
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """One accepted message for one recipient."""

    method: str
    to: str
    sender: str
    raw: bytes
    at: datetime
    text: str | None = None
    """What its recipient sees, where that is known already; else it is read from `raw`."""
    sharing: int = 1
    """How many messages came in this very `raw`, and weigh it together."""
    provider: str = ""
    """Which of a method's stand-ins took it."""


Reader = Callable[[bytes], Contents]
"""Reads a method's raw form; called when somebody looks, not when the message arrives."""


class Inbox:
    """Accepted messages in order of arrival; the oldest make room once `limit_bytes` is reached."""

    def __init__(self, limit_bytes: int, readers: Mapping[str, Reader]) -> None:
        self._limit_bytes = limit_bytes
        self._readers = readers
        self._messages: deque[Received] = deque()
        self._bytes = 0
        self._kept = 0

    def keep(self, message: Received) -> int:
        """Keep a message, at the cost of the oldest where there is no room; return its running number, from 1."""
        self._messages.append(message)
        self._kept += 1
        self._bytes += _weight(message)
        while self._bytes > self._limit_bytes and len(self._messages) > 1:
            self._bytes -= _weight(self._messages.popleft())
        return self._kept

    def find(self, method: str | None = None, to: str | None = None) -> list[Received]:
        """Return the messages of a method to a recipient (letter case apart), oldest first."""
        return list(self._find_matching(method, _plain(to) if to is not None else None))

    def show(self, message: Received, most: int | None = None) -> dict[str, Any]:
        """Make the public form of a message, its texts and its source cut to `most` where that is said.

        Takes milliseconds for a large mail: call it off the loop.
        """
        known = message.text is not None
        contents = Contents(text=message.text) if known else self._readers[message.method](message.raw)
        return {
            "method": message.method,
            "provider": message.provider or message.method,
            "to": message.to,
            "from": message.sender,
            "subject": contents.subject,
            "text": contents.text and contents.text[:most],
            "html": contents.html and contents.html[:most],
            "attachments": [
                {"filename": file.filename, "size": file.size, "sha256": file.sha256} for file in contents.attachments
            ],
            "message_id": contents.message_id,
            "raw": _as_text(message.raw)[:most],
            "at": message.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    def clear(self) -> int:
        """Forget everything; return how many messages that were."""
        count = len(self._messages)
        self._messages.clear()
        self._bytes = 0
        return count

    def _find_matching(self, method: str | None, to: str | None) -> Iterator[Received]:
        for message in self._messages:
            if method is not None and message.method != method:
                continue
            if to is not None and _plain(message.to) != to:
                continue
            yield message


def _weight(message: Received) -> int:
    return len(message.raw) // message.sharing + RECORD_BYTES


def _plain(to: str) -> str:
    """Compare without letter case, and mainland China's numbers with or without their country code."""
    return to.strip().removeprefix("+86").casefold()


def _as_text(raw: bytes) -> str:
    """Decode without loss: UTF-8 where it is that, else byte for byte as Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
